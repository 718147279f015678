"""Retries: pages that come late, a page that never comes, and one that is not worth a retry."""

from collections import Counter
from typing import Any

from oxtask import flow, task
from oxtask.client.schemas.objects import TaskRun
from oxtask.logging import disable_logger
from oxtask.states import State
from oxtask.tasks import Task, exponential_backoff

attempts: Counter[str] = Counter()


def worth_a_retry(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Say that a page that does not exist will not exist a moment later either."""
    del task, run
    return not isinstance(state.result(raise_on_failure=False), FileNotFoundError)


@task(
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=0.02),
    retry_jitter_factor=0.5,
    retry_condition_fn=worth_a_retry,
)
def fetch(page: str) -> str:
    """Fetch a page from a service that is at times not there."""
    attempts[page] += 1
    if page == "missing":
        raise FileNotFoundError(page)
    if page == "down" or attempts[page] < 3:
        raise ConnectionError(f"{page}: attempt {attempts[page]} got no answer")
    return f"the text of {page}"


@flow
def fetch_all(pages: list[str]) -> dict[str, str | BaseException]:
    """Fetch all pages; a delay before a retry holds no worker, so they wait side by side."""
    return dict(zip(pages, fetch.map(pages).result(raise_on_failure=False), strict=True))


def main() -> None:
    """Fetch three pages and print what came of it."""
    with disable_logger("oxtask.task_runs"):  # the failures are printed below
        outcomes = fetch_all(["slow", "down", "missing"])
    for page, outcome in outcomes.items():
        print(f"{page:<8} {attempts[page]} attempts: {outcome!r}")


if __name__ == "__main__":
    main()

"""Call services that fail now and then, with delays that grow and a say in what is tried again."""

from collections import Counter

from prefect import flow, task
from prefect.states import State
from prefect.tasks import exponential_backoff

attempts = Counter()


class NotFound(Exception):
    pass


def is_worth_another_try(task, task_run, state: State) -> bool:
    try:
        state.result()
    except NotFound:
        return False
    except Exception:
        return True
    return False


@task(retries=4, retry_delay_seconds=exponential_backoff(backoff_factor=0.01))
def weather(city: str) -> str:
    attempts[city] += 1
    if attempts[city] < 3:
        raise ConnectionError(f"attempt {attempts[city]} for {city}")
    return f"sunny in {city}"


@task(retries=5, retry_delay_seconds=[0.01, 0.02, 0.03], retry_condition_fn=is_worth_another_try)
def lookup(name: str) -> str:
    attempts[name] += 1
    if name == "nobody":
        raise NotFound(name)
    if attempts[name] < 2:
        raise TimeoutError("slow")
    return name.title()


@task(retries=2, retry_delay_seconds=0.01, retry_jitter_factor=0.5)
def always_down() -> None:
    attempts["down"] += 1
    raise ConnectionError("down")


@flow(retries=1, retry_delay_seconds=0)
def flaky_report() -> str:
    attempts["flow"] += 1
    if attempts["flow"] == 1:
        raise RuntimeError("the first attempt of the flow")
    return "report"


@flow
def main():
    print(weather("Oslo"))
    print(lookup("ada"))
    missing = lookup("nobody", return_state=True)
    print(missing.type.value, missing.name, repr(missing.result(raise_on_failure=False)))
    down = always_down.submit()
    down.wait()
    print(down.state.type.value, down.state.message)
    print(flaky_report())


if __name__ == "__main__":
    main()
    for name in sorted(attempts):
        print(f"{name}: {attempts[name]}")

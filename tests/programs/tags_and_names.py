"""Label runs with tags and names, and read them back where the code runs."""

import datetime

from prefect import flow, tags, task
from prefect.context import TagsContext, TaskRunContext, get_run_context
from prefect.logging import disable_run_logger, get_run_logger


def source_and_year(parameters: dict) -> str:
    return f"{parameters['source']} {parameters['day'].year}"


@task(tags=["io", "etl"], task_run_name="{source} on {day:%A}")
def extract(source: str, day: datetime.date) -> tuple[str, list[str]]:
    run = TaskRunContext.get().task_run
    return run.name, sorted(run.tags)


@task(name="Plain Name", version="7")
def plain() -> tuple[str, str, list[str]]:
    run = get_run_context().task_run
    return run.name.rpartition("-")[0], run.task_version, sorted(run.tags)


@task
def logs() -> str:
    get_run_logger().info("only in the log")
    return "logged"


@flow
def child() -> list[str]:
    print("in the child:", sorted(get_run_context().flow_run.tags), plain()[2])
    return sorted(TagsContext.get().current_tags)


@flow(name="labelled")
def labelled():
    day = datetime.date(2024, 2, 29)
    print(*extract("orders", day))
    with tags("nightly", "orders"):
        print(*extract("orders", day))
        with tags("orders", "deep") as current:
            print("now:", sorted(current))
            submitted = plain.submit()
            print("child:", child())
        print(*plain.with_options(tags=["own"])())
    print(*submitted.result())
    names = [name for name, _ in extract.map(["a", "b"], day).result()]
    print(names)
    print(extract.with_options(task_run_name=source_and_year)("c", day)[0])


if __name__ == "__main__":
    with tags("outer"):
        labelled()
    with disable_run_logger():
        print(logs.fn())
    print(plain.name, plain.version, sorted(extract.tags))

"""Tell somebody what happens: hooks of tasks and flows, as options and as decorators."""

from functools import partial

from prefect import flow, task
from prefect.client.schemas.objects import TaskRun
from prefect.states import State

events: list[str] = []


def note(task, task_run: TaskRun, state: State) -> None:
    events.append(f"task {task.name}: {state.name} after {task_run.run_count} attempts")


def page(subject, run, state, *, channel: str = "nobody") -> None:
    events.append(f"page to {channel}: {subject.name} is {state.name}")


async def note_async(flow, flow_run, state) -> None:
    events.append(f"flow {flow.name}: {state.name}")


def broken(task, task_run, state) -> None:
    raise RuntimeError("a hook that fails harms nobody")


@task(on_completion=[broken, note], on_failure=[note], on_running=[note])
def divide(x: float, y: float) -> float:
    return x / y


@task(retries=1, on_failure=[partial(page, channel="on-call")])
def unlucky() -> None:
    raise OSError("disk full")


@unlucky.on_running
def say_hello(task, task_run, state):
    events.append(f"hello from {task.name}: {state.name}")


@flow(on_completion=[note_async], on_failure=[note_async], on_running=[note_async])
def compute(y: float) -> float:
    return divide(6, y)


@compute.on_failure
def clean_up(flow, flow_run, state):
    events.append(f"cleaning up after {flow_run.parameters}: {state.message}")


@flow
def everything():
    print(compute(3))
    failed = compute(0, return_state=True)
    print(failed.type.value)
    unlucky(return_state=True)
    quiet = divide.with_options(name="quiet", on_completion=[note], on_running=[page])
    quiet.submit(1, 2).wait()


if __name__ == "__main__":
    everything()
    print("\n".join(events))

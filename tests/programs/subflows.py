"""A nightly report: flows that call flows, with checked parameters and states handed on."""

from datetime import date
from enum import Enum

from prefect import flow, task
from prefect.context import FlowRunContext, get_run_context
from prefect.exceptions import ParameterTypeError
from prefect.states import Completed, Failed
from pydantic import BaseModel, Field


class Region(str, Enum):
    NORTH = "north"
    SOUTH = "south"


class Options(BaseModel):
    currency: str = "EUR"
    digits: int = Field(default=2, ge=0)


@task
def sales(region: Region, day: date) -> list[float]:
    return [day.day * 1.5, day.month * 2.25, 10.0 if region is Region.NORTH else 20.0]


@flow(flow_run_name="report-{region.value}-{day}")
def region_report(region: Region, day: date, options: Options = Options()) -> str:
    run = FlowRunContext.get().flow_run
    total = sum(sales(region, day))
    print("running", run.name)
    return f"{region.value}: {total:.{options.digits}f} {options.currency}"


@flow
def check(total: int):
    if total < 0:
        return Failed(message="below zero")
    return Completed(message="looks right", data=total)


@flow
def fragile() -> str:
    raise LookupError("no data")


@flow(name="Nightly report", description="All regions, every night.")
def nightly(day: date):
    print(get_run_context().flow_run.parameters)
    lines = [region_report(region, day) for region in ("north", Region.SOUTH)]
    lines.append(region_report("south", "2024-05-06", options={"currency": "NOK", "digits": "0"}))
    for line in lines:
        print(line)

    print("checked:", check(3))
    below = check(-1, return_state=True)
    print(below.type.value, below.message)

    state = fragile(return_state=True)
    print(state.name, repr(state.result(raise_on_failure=False)))
    try:
        fragile()
    except LookupError as error:
        print("raised:", error)

    try:
        region_report("east", day)
    except ParameterTypeError as error:
        print(type(error).__name__, "names region:", "region" in str(error))
    return len(lines)


if __name__ == "__main__":
    final = nightly("2024-02-03", return_state=True)
    print(final.name, final.result())
    print(nightly.name, "-", nightly.description)

"""The parameters of flow runs; the lines are of engine.md, section 4.3."""

from __future__ import annotations

import datetime
import enum
import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional, Union

import pydantic
import pytest
from flow_ways import logs_fixture, shown  # noqa: F401

from oxtask import allow_failure, flow, task
from oxtask.context import FlowRunContext
from oxtask.exceptions import ParameterTypeError
from oxtask.states import Completed

UTC = datetime.timezone.utc


class Color(enum.Enum):
    RED = "red"


class Point(pydantic.BaseModel):
    x: int
    y: int = 0


@dataclass
class Pair:
    left: int
    right: int


class Plain:
    pass


PLAIN = Plain()


def seen_as(kind, value, **options):
    """Return what a flow sees that declares a parameter of a type."""

    def fn(x):
        return [x]  # in a list: a flow that returns a state is in that state

    fn.__annotations__["x"] = kind
    return flow(**options)(fn)(value)[0]


@pytest.mark.parametrize(
    ("kind", "given", "seen"),
    [
        (int, "3", 3),
        (int, 3, 3),
        (float, 3, 3.0),
        (float, "2.5", 2.5),
        (bool, "yes", True),
        (str, "3", "3"),
        (list[int], ["4"], [4]),
        (set[int], ["4", 4], {4}),
        (dict[str, int], {"a": "4"}, {"a": 4}),
        (tuple[int, str], ["1", "b"], (1, "b")),
        (Color, "red", Color.RED),
        (datetime.datetime, "2020-01-01T00:00:00+00:00", datetime.datetime(2020, 1, 1, tzinfo=UTC)),
        (datetime.date, "2020-01-01", datetime.date(2020, 1, 1)),
        (Point, {"x": "1"}, Point(x=1)),
        (list[Point], [{"x": 1}], [Point(x=1)]),
        (Pair, {"left": "1", "right": 2}, Pair(1, 2)),
        (Optional[int], None, None),
        (Union[int, str], "3", "3"),
        (Union[int, None], "3", 3),
        (Literal["a", "b"], "a", "a"),
        (Annotated[int, pydantic.Field(gt=2)], "3", 3),
        (Any, PLAIN, PLAIN),
        (object, PLAIN, PLAIN),
        (Plain, PLAIN, PLAIN),
        (type, Plain, Plain),
        ("int", "3", 3),
        ("int | None", None, None),
        ("list[Point]", [{"x": 1}], [Point(x=1)]),
        ("Missing", "3", "3"),
        ("int(", "3", "3"),
    ],
)
def test_values_are_converted_to_the_declared_type(kind, given, seen):
    """FL-30"""
    found = seen_as(kind, given)
    assert found == seen
    assert type(found) is type(seen)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (int, "many"),
        (int, None),
        (str, 3),
        (Plain, 3),
        (Point, {"y": 1}),
        (Literal["a"], "b"),
        (list[int], ["a"]),
        (Annotated[int, pydantic.Field(gt=2)], 1),
        ("int | None", "many"),
    ],
)
def test_values_that_do_not_fit_are_refused(kind, given):
    """FL-30, FL-32"""
    with pytest.raises(
        ParameterTypeError, match=r"^Flow run received invalid parameters:\n - x"
    ) as caught:
        seen_as(kind, given)
    assert isinstance(caught.value.__cause__, pydantic.ValidationError)


def test_values_of_the_declared_type_are_passed_as_they_are():
    """FL-30"""
    items = [1]
    assert seen_as(list, items) is items
    assert seen_as("list", items) is items
    assert seen_as(Plain, PLAIN) is PLAIN


def test_all_parameters_are_converted_and_named_when_they_do_not_fit():
    """FL-30, FL-32"""

    @flow
    def main(a: int, copy: int, _hidden: int = 3, *, model_config: int, untyped=5):
        return [a, copy, _hidden, model_config, untyped]

    assert main("1", "2", "3", model_config="4") == [1, 2, 3, 4, 5]
    with pytest.raises(ParameterTypeError) as caught:
        main("a", "2", "b", model_config="c")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == [" - a", " - _hidden", " - model_config"]


def test_defaults_are_converted_too_and_refused_if_they_do_not_fit():
    """FL-30, FL-37"""

    @flow
    def main(x: int = "3", point: Point = {"x": "1"}):
        return [x, point]

    assert main() == [3, Point(x=1)]

    @flow
    def bad(x: int = "many"):
        raise AssertionError

    with pytest.raises(ParameterTypeError, match=" - x: "):
        bad()


def test_defaults_may_be_fields_of_pydantic():
    """FL-30"""

    @flow
    def main(x: int = pydantic.Field(3, gt=2), y: list[int] = pydantic.Field(default_factory=list)):
        return [x, y]

    assert main() == [3, []]
    assert main("4", ["5"]) == [4, [5]]
    with pytest.raises(ParameterTypeError, match="greater than 2"):
        main(1)


def test_variable_arguments_are_passed_as_they_are():
    """FL-30"""

    @flow
    def main(x: int, *args: int, **kwargs: int):
        return [x, args, kwargs]

    assert main("1", "2", y="3") == [1, ("2",), {"y": "3"}]


def test_types_of_the_function_around_the_flow_are_known():
    """FL-30"""

    class Local(pydantic.BaseModel):
        x: int

    @flow
    def main(local: Local):
        assert isinstance(local, Local)
        return local.x

    assert main({"x": "3"}) == 3


def test_without_validation_values_are_passed_as_they_are():
    """FL-33"""
    assert seen_as(int, "3", validate_parameters=False) == "3"
    assert seen_as(Point, PLAIN, validate_parameters=False) is PLAIN


def test_what_futures_and_states_come_to_is_converted():
    """FL-31, FL-96"""

    @task
    def text():
        return "5"

    @flow(flow_run_name="x={x}")
    def child(x: int, *, more: list[int]):
        context = FlowRunContext.get()
        return [x, more, context.parameters, context.flow_run.name]

    @flow
    def parent():
        return child(text.submit(), more=[text.submit(), Completed(data="6")])

    assert parent() == [5, [5, 6], {"x": 5, "more": [5, 6]}, "x=5"]


def test_a_failed_upstream_can_be_allowed():
    """FL-96"""

    @task
    def broken():
        raise ValueError("upstream")

    @flow
    def child(x):
        return repr(x)

    @flow
    def parent():
        return child(allow_failure(broken.submit()))

    assert parent() == "ValueError('upstream')"


def test_parameters_that_do_not_fit_fail_the_run(logs, caplog):
    """FL-32, FL-83, W18"""
    seen = []

    def hook(flow, flow_run, state):
        context = FlowRunContext.get()
        seen.append((flow_run.state_name, context.flow_run is flow_run, context.parameters))

    @flow(retries=3, on_failure=[hook])
    def main(x: int):
        raise AssertionError

    state = main("many", return_state=True)
    run = logs[0].record
    assert run.state is state
    assert shown(logs[0]) == ["Pending", "Failed"]
    assert state.message.startswith("Validation of flow parameters failed with error:")
    assert isinstance(state.data, ParameterTypeError)
    assert run.run_count == 0
    assert run.start_time == run.end_time == state.timestamp
    assert seen == [("Failed", True, {"x": "many"})]
    assert any(
        record.levelname == "ERROR" and "Validation of flow parameters failed" in record.message
        for record in caplog.records
    )


# --- as they are recorded -------------------------------------------------------------------------


class Loop(list):
    def __init__(self):
        super().__init__([self])


def recorded(*args, **kwargs):
    @flow(validate_parameters=False)
    def main(*args, **kwargs):
        return FlowRunContext.get().flow_run.parameters

    return main(*args, **kwargs)


def test_parameters_are_recorded_as_json():
    """FL-35"""
    found = recorded(
        1,
        "a",
        None,
        Point(x=1),
        Pair(1, 2),
        Color.RED,
        {"b": (1, 2)},
        day=datetime.date(2020, 1, 2),
    )
    assert json.loads(json.dumps(found)) == {
        "args": [1, "a", None, {"x": 1, "y": 0}, {"left": 1, "right": 2}, "red", {"b": [1, 2]}],
        "kwargs": {"day": "2020-01-02"},
    }


def test_the_name_of_the_type_stands_for_what_cannot_be_recorded(logs):
    """FL-35"""

    @task
    def one():
        return 1

    @flow
    def child(plain, loop, nested, future, state):
        return future

    @flow
    def parent():
        loop = Loop()
        return child(PLAIN, loop, [PLAIN], one.submit(), Completed(data=2))

    assert parent() == 1
    assert logs[1].record.parameters == {
        "plain": "<Plain>",
        "loop": "<Loop>",
        "nested": "<list>",
        "future": "<TaskRunFuture>",
        "state": "<State>",
    }


def test_pydantic_is_imported_only_if_it_is_needed():
    """FL-30: an empty flow, and one whose arguments are of the declared plain types"""
    code = """
        import sys
        from typing import Optional, Union
        from oxtask import flow

        @flow
        def main(x: int, y: "str | None", z: Union[int, str], w: Optional[float], *args: int):
            return x

        main(1, None, "z", 2.5, "more")
        main(1, "y", 3, None)
        heavy = {"asyncio", "concurrent.futures", "logging", "pydantic", "pydantic_core", "rich"}
        assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
        main("1", None, "z", None)
        assert "pydantic" in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)


@pytest.mark.parametrize("new", [Point(x=1), {"x": 1}])
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic.v1 does not know Python 3.14")
@pytest.mark.filterwarnings("ignore:Mixing V1 models")
def test_models_of_two_versions_of_pydantic_do_not_go_together(new):
    """FL-34"""
    from pydantic import v1

    class Old(v1.BaseModel):
        x: int

    def main(new, old):
        return old

    main.__annotations__ = {"new": Point, "old": Old}
    old = Old(x=1)
    with pytest.raises(ParameterTypeError, match="'old' are models of pydantic"):
        flow(main)(new, old)
    assert flow(main, validate_parameters=False)(new, old) is old
    main.__annotations__ = {"new": int, "old": Old}
    assert flow(main)(3, old) is old

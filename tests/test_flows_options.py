"""The options of flows; the lines are of engine.md, section 4.1."""

from __future__ import annotations

import functools
import hashlib
import inspect
from pathlib import Path

import pytest
from flow_ways import KINDS

from oxtask import Flow, flow
from oxtask.exceptions import InvalidNameError, ReservedArgumentError
from oxtask.flows import FlowOptions
from oxtask.settings import temporary_settings
from oxtask.task_runners import ThreadPoolTaskRunner

OPTIONS = set(FlowOptions.__annotations__)


def add(x: int, y: int = 2) -> int:
    """Add two numbers.

    Args:
        x: The first.
    """
    return x + y


def hook(flow, flow_run, state):
    pass


# --- how a flow is made ---------------------------------------------------------------------------


def test_the_decorator_is_used_with_and_without_options():
    """FL-01"""
    for made in (flow(add), flow()(add), flow(retries=2)(add), Flow(add), Flow(fn=add)):
        assert isinstance(made, Flow)
        assert made.fn is add
        assert made(1) == 3


def test_the_options_that_are_not_given_have_their_defaults():
    """FL-01, FL-09"""
    made = flow(add)
    assert made.name == "add"
    assert made.description == inspect.cleandoc(add.__doc__)
    assert (made.retries, made.retry_delay_seconds, made.timeout_seconds) == (0, 0, None)
    assert made.should_validate_parameters is True
    assert (made.persist_result, made.result_storage, made.result_serializer) == (None,) * 3
    assert made.cache_result_in_memory is True
    assert made.log_prints is None
    assert made.flow_run_name is None
    assert [getattr(made, f"on_{kind}_hooks") for kind in KINDS] == [[]] * 5
    assert made.isasync is False
    assert made.isgenerator is False


def test_options_may_be_given_to_the_class_by_position():
    """FL-01"""
    made = Flow(add, "sum", "7", "run-{x}", 1, 0.5, None, "text", 3)
    assert (made.name, made.version, made.flow_run_name) == ("sum", "7", "run-{x}")
    assert (made.retries, made.retry_delay_seconds) == (1, 0.5)
    assert (made.description, made.timeout_seconds) == ("text", 3.0)


def test_a_flow_knows_its_options(tmp_path):
    """FL-09"""
    made = flow(timeout_seconds=2, log_prints=True, validate_parameters=False)(add)
    assert made.timeout_seconds == 2.0
    assert isinstance(made.timeout_seconds, float)
    assert made.log_prints is True
    assert made.should_validate_parameters is False

    @flow
    async def coroutine():
        pass

    assert coroutine.isasync is True


def test_a_flow_describes_its_parameters():
    """FL-09"""
    described = flow(add).parameters
    assert described.required == ["x"]
    assert described.properties["x"]["description"] == "The first."
    assert described.properties["y"]["default"] == 2


def test_a_flow_looks_like_its_function():
    """FL-01"""
    made = flow(add)
    assert (made.__name__, made.__doc__, made.__wrapped__) == ("add", add.__doc__, add)
    assert inspect.signature(made) == inspect.signature(add)
    assert inspect.signature(made, follow_wrapped=False) == inspect.signature(add)
    assert "retries" in inspect.signature(Flow).parameters


# --- names ----------------------------------------------------------------------------------------


def test_the_name_is_that_of_the_function_with_dashes():
    """FL-02"""

    def load_all_rows():
        pass

    class Loader:
        def __call__(self):
            pass

    assert flow(load_all_rows).name == "load-all-rows"
    assert flow(functools.partial(load_all_rows)).name == "load-all-rows"
    assert flow(Loader()).name == "Loader"
    assert flow(lambda: 1).name == "unknown-lambda"
    assert flow(name="Load it!")(load_all_rows).name == "Load it!"


@pytest.mark.parametrize("character", ["/", "%", "&", ">", "<"])
def test_some_characters_are_not_for_names(character):
    """FL-02"""
    with pytest.raises(InvalidNameError, match="contains an invalid character"):
        flow(name=f"my{character}flow")(add)


def test_a_name_is_text():
    """FL-02"""
    with pytest.raises(TypeError, match="'name'; got int instead: 3"):
        flow(name=3)(add)
    with pytest.raises(TypeError, match=r"Maybe you meant '@flow\(options\.\.\.\)'\?"):
        flow(name=add)(add)


def test_a_template_for_names_of_runs_is_text_or_a_function():
    """FL-03"""
    with pytest.raises(TypeError, match="for 'flow_run_name'; got int instead"):
        flow(flow_run_name=3)(add)


# --- versions -------------------------------------------------------------------------------------


def test_the_version_is_the_hash_of_the_file(tmp_path):
    """FL-04"""
    assert flow(add).version == hashlib.md5(Path(__file__).read_bytes()).hexdigest()
    assert flow(functools.partial(add, 1)).version == flow(add).version
    assert flow(version="7")(add).version == "7"


def test_the_version_is_worked_out_when_it_is_asked_for(tmp_path):
    """FL-04"""
    source = tmp_path / "late.py"
    names = {}
    exec(compile("def late():\n    pass\n", str(source), "exec"), names)
    made = flow(names["late"])
    source.write_text("there now")
    assert made.version == hashlib.md5(b"there now").hexdigest()
    source.write_text("changed")
    assert made.version == hashlib.md5(b"there now").hexdigest()


def test_there_is_no_version_without_a_file():
    """FL-04"""
    names = {}
    exec("def nowhere():\n    return 1\n", names)
    assert flow(names["nowhere"]).version is None
    assert flow(names["nowhere"])() == 1
    assert flow(len).version is None


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["return_state", "wait_for"])
def test_names_of_the_call_are_not_for_parameters(name):
    """FL-05, tasks.md 14.3"""
    names = {}
    exec(f"def fn({name}):\n    pass\n", names)
    with pytest.raises(ReservedArgumentError, match=name):
        flow(names["fn"])


@pytest.mark.parametrize("value", [3, "text"])
def test_only_functions_can_be_flows(value):
    """FL-05"""
    with pytest.raises(TypeError, match=f"'fn' must be callable; got {value!r}"):
        flow(value)


def test_names_of_the_validator_are_not_for_parameters():
    """FL-05"""

    def collides(v__args):
        return v__args

    with pytest.raises(
        ValueError, match=r"is not compatible with `validate_parameters`.*'v__args'"
    ):
        flow(collides)
    assert flow(validate_parameters=False)(collides)(3) == 3


def test_unknown_options_are_refused():
    """FL-01"""
    with pytest.raises(TypeError, match="retrys"):
        flow(retrys=3)(add)
    with pytest.raises(
        TypeError, match=r"unexpected keyword argument 'retrys'; the options are name"
    ):
        flow(add).with_options(retrys=3)


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("retries", "3", TypeError, "'retries' must be an int; got '3'"),
        ("retries", True, TypeError, "'retries' must be an int; got True"),
        ("retries", -1, ValueError, "'retries' must be 0 or more; got -1"),
        ("retry_delay_seconds", "1", TypeError, "`retry_delay_seconds`: '1' is not a number"),
        ("retry_delay_seconds", -1, ValueError, "-1 must be 0 or more and finite"),
        ("retry_delay_seconds", float("nan"), ValueError, "nan must be 0 or more and finite"),
        ("retry_delay_seconds", [1, 2], TypeError, r"\[1, 2\] is not a number of seconds"),
        ("timeout_seconds", "soon", ValueError, "'timeout_seconds' must be a number of seconds"),
        ("timeout_seconds", -2, ValueError, "'timeout_seconds' must be positive.*got -2"),
        ("task_runner", "threads", TypeError, "'task_runner' must be a TaskRunner.*'threads'"),
        ("result_storage", 3, TypeError, "must be persisted server-side"),
        ("version", 3, TypeError, "'version' must be a string or None; got 3"),
        ("on_completion", hook, TypeError, "Expected iterable for 'on_completion'"),
        ("on_crashed", [3], TypeError, "Expected callables in 'on_crashed'; got int instead"),
    ],
)
def test_wrong_options_are_named_with_their_value(option, value, error, message):
    """FL-01, FL-07, FL-12"""
    with pytest.raises(error, match=message):
        flow(**{option: value})(add)


# --- runners, storage, settings -------------------------------------------------------------------


def test_a_runner_is_given_as_a_class_or_as_an_instance():
    """FL-06"""
    own = ThreadPoolTaskRunner(max_workers=3)
    assert flow(task_runner=own)(add).task_runner is own
    assert isinstance(flow(task_runner=ThreadPoolTaskRunner)(add).task_runner, ThreadPoolTaskRunner)


def test_where_results_are_stored_says_that_they_are(tmp_path):
    """FL-07"""
    assert flow(result_storage="folder")(add).persist_result is True
    assert flow(result_storage=tmp_path)(add).persist_result is True
    assert flow(result_serializer="json")(add).persist_result is True
    assert flow(result_storage="folder", persist_result=False)(add).persist_result is False


def test_retries_that_are_not_given_come_from_the_settings():
    """FL-70, FL-12"""
    with temporary_settings({"flows.default_retries": 3, "flows.default_retry_delay_seconds": 1.5}):
        assert (flow(add).retries, flow(add).retry_delay_seconds) == (3, 1.5)
        assert flow(retries=0, retry_delay_seconds=0)(add).retries == 0
    with temporary_settings({"flows.default_retry_delay_seconds": [4, 5]}):
        assert flow(add).retry_delay_seconds == 4


# --- with_options ---------------------------------------------------------------------------------


def test_the_options_are_the_same_everywhere():
    """FL-08"""
    constructor = set(inspect.signature(Flow.__init__).parameters) - {"self", "fn"}
    assert constructor == OPTIONS
    assert set(inspect.signature(flow).parameters) - {"__fn"} == OPTIONS
    assert set(inspect.signature(Flow.with_options).parameters) - {"self"} == OPTIONS


GIVEN = {
    "name": "first",
    "version": "1",
    "flow_run_name": "run-{x}",
    "retries": 2,
    "retry_delay_seconds": 3.0,
    "task_runner": ThreadPoolTaskRunner(max_workers=2),
    "description": "text",
    "timeout_seconds": 4.0,
    "validate_parameters": False,
    "persist_result": True,
    "result_storage": "folder",
    "result_serializer": "json",
    "cache_result_in_memory": False,
    "log_prints": True,
    **{f"on_{kind}": [hook] for kind in KINDS},
}


def now(made, option):
    names = {"validate_parameters": "should_validate_parameters"}
    names |= {f"on_{kind}": f"on_{kind}_hooks" for kind in KINDS}
    return getattr(made, names.get(option, option))


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_options_that_are_not_named_are_kept(option):
    """FL-08"""
    assert set(GIVEN) == OPTIONS
    first = flow(**GIVEN)(add)
    others = {name: now(flow(add), name) for name in OPTIONS - {"name", "version", "description"}}
    others["persist_result"] = False
    changed = first.with_options(**{option: others.get(option, "other")})
    assert now(changed, option) == others.get(option, "other")
    assert {name: now(changed, name) for name in OPTIONS - {option}} == {
        name: value for name, value in GIVEN.items() if name != option
    }
    assert {name: now(first, name) for name in OPTIONS} == GIVEN
    assert changed.fn is add


def test_options_are_kept_as_they_are_now():
    """FL-08"""
    first = flow(add)
    first.retries = 4
    first.on_running(hook)
    assert first.with_options(name="other").retries == 4
    assert first.with_options(name="other").on_running_hooks == [hook]


def test_options_can_be_unset():
    """FL-08, LG-20"""
    first = flow(**GIVEN)(add)
    zeros = first.with_options(timeout_seconds=0, retries=0, retry_delay_seconds=0)
    assert (zeros.timeout_seconds, zeros.retries, zeros.retry_delay_seconds) == (None, 0, 0)
    bare = first.with_options(
        result_storage=None, result_serializer=None, log_prints=None, flow_run_name=None
    )
    assert (bare.result_storage, bare.result_serializer) == (None, None)
    assert (bare.log_prints, bare.flow_run_name) == (None, None)
    assert first.with_options(on_failure=[]).on_failure_hooks == []
    for value in (True, False):
        assert first.with_options(log_prints=value).log_prints is value


def test_what_follows_from_an_option_goes_with_it():
    """FL-07, FL-08"""
    stored = flow(result_storage="folder")(add)
    assert stored.with_options(name="other").persist_result is True
    assert stored.with_options(result_storage=None).persist_result is None


def test_hooks_of_a_variant_are_its_own():
    """FL-08"""
    first = flow(on_failure=[hook])(add)
    second = first.with_options(name="second")
    second.on_failure(print)
    assert first.on_failure_hooks == [hook]
    assert second.on_failure_hooks == [hook, print]


def test_a_variant_is_of_the_same_class_and_checked():
    """FL-08"""

    class Special(Flow):
        pass

    special = Special(add)
    assert type(special.with_options(retries=1)) is Special
    with pytest.raises(InvalidNameError):
        special.with_options(name="a/b")

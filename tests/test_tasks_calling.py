"""Calling a task: values, states, binding, and what the body receives."""

from __future__ import annotations

import asyncio
import functools

import pytest
from pydantic import Field
from ways import history

from oxtask import flow, task
from oxtask._core import current_run
from oxtask.context import TaskRunContext
from oxtask.exceptions import OxtaskException, ParameterBindError, UpstreamTaskError
from oxtask.states import Completed, Failed


@task
def add(x, y=1):
    return x + y


@task
async def aadd(x, y=1):
    return x + y


@task
def identity(x):
    return x


@task
def fail(error):
    raise error


@task
async def afail(error):
    raise error


# --- values and states ----------------------------------------------------------------------------


def test_a_call_returns_what_the_function_returns():
    """12.1, outside of a flow and inside"""
    assert add(1, y=2) == 3
    assert flow(lambda: add(1, y=2))() == 3


def test_arguments_and_results_are_passed_by_reference():
    """12.1, 12.3"""
    for value in ([1, [2]], {"a": {1}}, (object(),), object()):
        assert identity(value) is value
        assert asyncio.run(aidentity(value)) is value

    @task
    def append(items):
        items.append(1)

    items = []
    append(items)
    assert items == [1]


@task
async def aidentity(x):
    return x


def test_an_async_task_returns_a_coroutine_that_does_nothing_until_it_is_awaited():
    """12.1, TE-02"""
    began = []

    @task
    async def body():
        began.append(current_run.get())

    coroutine = body()
    assert asyncio.iscoroutine(coroutine)
    assert began == []
    asyncio.run(coroutine)
    assert len(began) == 1


@pytest.mark.parametrize("made", [add, aadd])
def test_wrong_arguments_raise_at_the_call(made):
    """12.1, 13.5, TE-01"""
    with pytest.raises(ParameterBindError):
        made()


def test_a_state_is_returned_on_request():
    """12.2"""
    state = add(1, return_state=True)
    assert state.is_completed()
    assert state.result(_sync=True) == 2
    state = asyncio.run(aadd(1, return_state=True))
    assert state.result(_sync=True) == 2


def test_a_state_stands_for_a_failure():
    """12.2"""
    error = ValueError("no")
    for state in (fail(error, return_state=True), asyncio.run(afail(error, return_state=True))):
        assert state.is_failed()
        assert state.data is error
        assert state.result(raise_on_failure=False, _sync=True) is error


def test_a_failure_is_raised_as_the_same_object_with_the_lines_of_the_body():
    """12.2, EX-05"""
    error = ValueError("no")
    for call in (lambda: fail(error), lambda: asyncio.run(afail(error))):
        with pytest.raises(ValueError) as caught:
            call()
        assert caught.value is error
        assert "raise error" in str(caught.traceback[-1].statement)


def test_a_failed_upstream_raises_unless_a_state_is_asked_for():
    """12.4, W20, W04, D7"""

    @flow
    def main():
        failed = fail.submit(ValueError("no"))
        with pytest.raises(UpstreamTaskError, match=str(failed.task_run_id)):
            add(failed)
        return add(failed, return_state=True).name, add.submit(failed).state.type.value

    @flow
    async def amain():
        failed = fail.submit(ValueError("no"))
        with pytest.raises(UpstreamTaskError, match=str(failed.task_run_id)):
            await aadd(failed)
        return (await aadd(failed, return_state=True)).name

    assert main()[0] == "NotReady"
    assert asyncio.run(amain()) == "NotReady"


def test_a_returned_state_is_what_the_caller_gets():
    """12.5"""
    for state in (Failed(message="mine"), Completed(data=3)):
        made = task(lambda state=state: state)
        assert made() is state
        assert made(return_state=True).type is state.type


def test_call_options_are_never_keyword_arguments_of_the_function():
    """12.6"""

    @task
    def keywords(**kwargs):
        return kwargs

    assert keywords(x=1, wait_for=[2]) == {"x": 1}
    assert keywords(x=1, wait_for=[], return_state=True).result(_sync=True) == {"x": 1}


def test_async_tasks_can_be_gathered():
    """12.7, 38.4"""
    met = []

    @task
    async def meet(barrier, name):
        met.append(name)
        if len(met) == 2:
            barrier.set()
        await barrier.wait()
        return name

    @flow
    async def main():
        barrier = asyncio.Event()
        return await asyncio.gather(meet(barrier, "a"), meet(barrier, "b"))

    assert asyncio.run(main()) == ["a", "b"]


def test_a_sync_task_can_be_called_from_async_code():
    """12.7"""

    @flow
    async def main():
        return add(1) + await aadd(1)

    assert asyncio.run(main()) == 4


def test_the_run_of_a_call_goes_through_its_states():
    """TE-12: also with plain arguments, where the core does it all"""
    futures = []

    @task
    def body():
        futures.append(current_run.get().future)
        return history(futures[-1])

    assert body() == ["Pending", "Running"]
    assert history(futures[0]) == ["Pending", "Running", "Completed"]


def test_an_error_in_the_arguments_fails_the_run_and_is_raised():
    """12.9, W21, TE-68"""

    key_becomes_a_list = {Completed(data=[]): 1}
    with pytest.raises(OxtaskException, match="resolve inputs in parameter 'x'") as caught:
        identity(key_becomes_a_list)
    assert isinstance(caught.value.__cause__, TypeError)
    state = identity(x=key_becomes_a_list, return_state=True)
    assert state.is_failed()
    assert "Failed to resolve inputs in parameter 'x'" in state.message


# --- binding --------------------------------------------------------------------------------------


def test_the_error_of_a_wrong_call_tells_signature_and_arguments():
    """13.3, 42.11"""

    @task
    def pair(x, y, *, z=3):
        return x

    with pytest.raises(ParameterBindError) as caught:
        pair(1)
    assert str(caught.value) == (
        "Error binding parameters for function 'pair': missing a required argument: 'y'.\n"
        "It has signature 'x, y, *, z=3' but received args: (1,) and kwargs: []."
    )
    assert isinstance(caught.value, TypeError)
    with pytest.raises(ParameterBindError, match="multiple values for argument 'x'"):
        pair(1, 2, x=3)
    with pytest.raises(ParameterBindError, match="got an unexpected keyword argument 'a'"):
        pair(1, 2, a=3)


def test_binding_of_a_nameless_callable_names_its_type():
    """13.4, W22"""
    with pytest.raises(ParameterBindError, match="function 'partial'"):
        task(functools.partial(lambda x: x))()


def test_parameters_are_not_converted():
    """13.6"""

    @task
    def annotated(x: int) -> str:
        return x

    assert annotated("1") == "1"


def test_a_positional_parameter_may_share_its_name_with_a_keyword():
    """13.7"""

    @task
    def positional(a, /, **kw):
        return a, kw

    assert positional(1, a=2) == (1, {"a": 2})
    assert flow(lambda: positional.submit(1, a=2).result())() == (1, {"a": 2})

    @task
    def only(a, /):
        return a

    with pytest.raises(ParameterBindError):
        only(a=1)


@pytest.mark.parametrize("submitted", [False, True])
def test_a_field_as_default_stands_for_its_value(submitted):
    """V2"""

    @task
    def fields(a, x: int = Field(default=3), y: list = Field(default_factory=list)):
        y.append(a)
        return x, y

    def both():
        if submitted:
            return [*fields.map([1, 2]).result(), fields.submit(3, x=4).result()]
        return [fields(1), fields(2), fields(3, x=4)]

    assert flow(both)() == [(3, [1]), (3, [2]), (4, [3])]


def test_a_required_field_is_required():
    """V2"""

    @task
    def required(x: int = Field()):
        return x

    assert required(1) == 1
    with pytest.raises(ParameterBindError, match="missing a required argument: 'x'"):
        required()


def test_a_default_is_the_same_object_each_time():
    """13.1"""
    default = []

    @task
    def keep(x=default):
        return x

    assert keep() is default


def test_parameters_are_seen_by_name_in_the_order_of_the_signature():
    """13.1, 26.2"""

    @task
    def many(a, b=2, *c, d, e=5, **f):
        return list(TaskRunContext.get().parameters.items())

    assert many(1, d=4) == [("a", 1), ("b", 2), ("c", ()), ("d", 4), ("e", 5), ("f", {})]
    assert many(1, 0, 3, d=4, g=7) == [
        *(("a", 1), ("b", 0), ("c", (3,)), ("d", 4), ("e", 5)),
        ("f", {"g": 7}),
    ]


# --- what the body receives -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["call", "submit", "map"])
def test_the_body_receives_the_arguments_as_they_were_given(how):
    """15.1, 15.2"""

    @task
    def many(a, /, b, *c, d, **e):
        return a, b, c, d, e

    def main():
        if how == "call":
            return many(1, 2, 3, 4, d=5, f=6)
        if how == "submit":
            return many.submit(1, 2, 3, 4, d=5, f=6).result()
        return many.map([1], 2, 3, 4, d=5, f=6).result()[0]

    assert flow(main)() == (1, 2, (3, 4), 5, {"f": 6})


def test_a_wrapper_receives_what_it_can_take():
    """15.4, 7.7"""

    def logged(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            return "logged", fn(*args, **kwargs)

        return wrapper

    @task
    @logged
    def add_both(x, y=2):
        return x + y

    assert add_both(1) == ("logged", 3)
    assert add_both(1, y=5) == ("logged", 6)
    with pytest.raises(ParameterBindError, match="'x, y=2'"):
        add_both()


def test_a_wrapper_of_another_arity_gets_the_natural_error():
    """15.4"""

    def narrow(fn):
        @functools.wraps(fn)
        def wrapper():
            return fn(1)

        return wrapper

    with pytest.raises(TypeError, match="takes 0 positional arguments but 1 was given"):
        task(narrow(lambda x: x))(1)

"""The forms of the decorator, what can be a task, and the attributes of tasks."""

from __future__ import annotations

import importlib
import inspect

import pytest

import oxtask
from oxtask import Task, task
from oxtask.tasks import TaskOptions


def add(x, y=1):
    """Add two numbers.

    The second is optional.
    """
    return x + y


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decorate",
    [task, task(), task(name="n"), lambda fn: task(fn, name="n"), Task, lambda fn: Task(fn=fn)],
)
def test_every_form_of_the_decorator_gives_a_task(decorate):
    """2.1"""
    made = decorate(add)
    assert isinstance(made, Task)
    assert made(1, 2) == 3


def test_the_function_and_the_options_cannot_be_mixed_up():
    """2.1"""
    with pytest.raises(TypeError):
        task(add, "name")
    with pytest.raises(TypeError):
        task(__fn=add)


def test_options_of_a_decorator_can_be_overridden_when_it_is_applied():
    """2.2"""
    decorator = task(name="one", retries=1)
    made = decorator(add, name="two")
    assert (made.name, made.retries) == ("two", 1)
    assert task(None, name="three")(add).name == "three"


class Falsy:
    """A callable that is false."""

    def __call__(self, x):
        return x

    def __len__(self):
        return 0


def test_a_callable_that_is_false_is_a_function():
    """2.3, W1"""
    made = task(Falsy())
    assert isinstance(made, Task)
    assert made(3) == 3


@pytest.mark.parametrize("value", ["x", 0, 3.5, [], object()])
def test_what_cannot_be_called_is_refused(value):
    """2.4"""
    with pytest.raises(TypeError, match="'fn' must be callable; got ") as caught:
        task(value)
    assert repr(value)[:20] in str(caught.value)


def test_an_unknown_option_is_refused():
    """2.5"""
    with pytest.raises(TypeError, match="unexpected keyword argument 'retrys'; the options are: "):
        task(retrys=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'retrys'"):
        task(add, retrys=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'retrys'"):
        Task(add, retrys=3)


def test_transaction_hooks_are_options_of_the_decorator():
    """2.5, 3.22, W7"""
    made = task(on_commit=[print], on_rollback=[max])(add)
    assert made.on_commit_hooks == [print]
    assert made.on_rollback_hooks == [max]


def test_options_of_the_class_may_be_positional():
    """2.6"""
    names = list(inspect.signature(Task.__init__).parameters)[1:]
    assert names == [
        *("fn", "name", "description", "tags", "version", "cache_policy", "cache_key_fn"),
        *("cache_expiration", "task_run_name", "retries", "retry_delay_seconds"),
        *("retry_jitter_factor", "persist_result", "result_storage", "result_serializer"),
        *("result_storage_key", "cache_result_in_memory", "timeout_seconds", "log_prints"),
        *("refresh_cache", "on_completion", "on_failure", "on_running", "on_rollback"),
        *("on_commit", "retry_condition_fn", "viz_return_value", "asset_deps", "hash_ignore"),
    ]
    made = Task(add, "name", "description", ["tag"], "1")
    assert (made.name, made.description, made.tags, made.version) == (
        *("name", "description"),
        *({"tag"}, "1"),
    )


def test_class_and_decorator_inherit_log_prints_alike():
    """2.7, W2"""
    assert Task(add).log_prints is None
    assert task(add).log_prints is None


def test_decorator_and_with_options_take_the_same_options():
    """2.8"""
    decorator = inspect.signature(task).parameters
    with_options = inspect.signature(Task.with_options).parameters
    assert set(decorator) - {"__fn", "version"} == set(with_options) - {"self"}
    assert set(with_options) - {"self"} == set(TaskOptions.__annotations__)


def test_the_signatures_of_decorator_and_with_options_can_be_used():
    """2.8: as an `inspect.Signature`"""
    bound = inspect.signature(task).bind(add, name="n", retries=3)
    assert bound.arguments == {"__fn": add, "name": "n", "retries": 3}
    method = inspect.signature(task(add).with_options)
    assert isinstance(method, inspect.Signature)
    assert "self" not in method.parameters
    assert "retries" in str(inspect.signature(task))


def test_tasks_are_generic():
    """2.9"""
    assert Task[[int], str] is not None


def test_tasks_of_the_same_name_may_coexist():
    """2.10"""
    first, second = task(add), task(add)
    assert first is not second
    assert first.name == second.name


def test_the_package_exports_tasks():
    """1.1"""
    assert oxtask.task is task
    assert oxtask.Task is Task


NAMES = {
    "oxtask": "task Task flow Flow State tags unmapped allow_failure get_run_logger",
    "oxtask.assets": "Asset AssetProperties materialize add_asset_metadata",
    "oxtask.tasks": """
        Task task MaterializingTask TaskOptions exponential_backoff T R P
        TaskRunNameCallbackWithParameters TaskRunNameValueOrCallable StateHookCallable
        RetryConditionCallable FutureOrResult OneOrManyFutureOrResult
        """,
    "oxtask.utilities.annotations": """
        BaseAnnotation unmapped allow_failure quote opaque freeze Quote NotSet
        """,
}


@pytest.mark.parametrize(("module", "names"), NAMES.items())
def test_names_are_where_programs_import_them_from(module, names):
    """1.1, 1.2, 1.3, 1.7"""
    found = importlib.import_module(module)
    assert [name for name in names.split() if not hasattr(found, name)] == []
    assert set(names.split()) <= set(found.__all__)


def test_quote_and_opaque_are_not_at_the_top():
    """1.1"""
    assert not hasattr(oxtask, "quote")
    assert not hasattr(oxtask, "opaque")


async def afetch(x):
    return x


# --- attributes -----------------------------------------------------------------------------------


def test_a_task_has_an_attribute_for_every_option():
    """6.1"""
    made = task(add)
    names = [name for name in TaskOptions.__annotations__ if not name.startswith("on_")]
    for name in names:
        getattr(made, name)
    assert made.on_completion_hooks == made.on_failure_hooks == made.on_running_hooks == []
    assert made.on_commit_hooks == made.on_rollback_hooks == []
    assert (made.fn, made.name, made.description) == (
        *(add, "add"),
        "Add two numbers.\n\nThe second is optional.",
    )
    assert (made.tags, made.version, made.retries, made.retry_delay_seconds) == (set(), None, 0, 0)
    assert (made.timeout_seconds, made.task_run_name, made.asset_deps) == (None, None, [])
    assert made.cache_result_in_memory is True
    assert not (made.ismethod or made.isclassmethod or made.isstaticmethod)


def test_a_task_looks_like_its_function():
    """6.2"""
    made = task(add)
    assert made.__wrapped__ is add
    assert (made.__name__, made.__qualname__, made.__module__) == ("add", "add", __name__)
    assert made.__doc__ == add.__doc__
    assert inspect.signature(made) == inspect.signature(add)


def test_attributes_of_the_function_are_on_the_task_but_do_not_replace_its_own():
    """6.2"""

    def fn():
        return None

    fn.custom, fn.name, fn.tags = 1, "mine", "mine"
    made = task(fn)
    assert (made.custom, made.name, made.tags) == (1, "fn", set())


def test_tasks_are_equal_to_themselves_only():
    """6.3"""
    first, second = task(add), task(add)
    assert first == first
    assert first != second
    assert len({first, second, first}) == 2
    assert repr(first).startswith("<oxtask.tasks.Task object at 0x")


def test_a_task_is_no_coroutine_function():
    """6.4"""
    made = task(afetch)
    assert not inspect.iscoroutinefunction(made)
    assert made.isasync


def test_changes_of_a_task_take_effect_on_later_runs():
    """6.5"""
    made = task(add)
    assert made(1) == 2
    key, source = made.task_key, made.source_code
    made.fn = lambda x: x * 10
    assert made(1) == 10
    assert (made.task_key, made.source_code, made.isasync) == (key, source, False)

    attempts = []

    def failing(x):
        attempts.append(x)
        raise ValueError

    made.fn, made.retries = failing, 2
    with pytest.raises(ValueError):
        made(1)
    assert len(attempts) == 3


def test_a_hook_list_that_is_replaced_is_used():
    """6.1, 6.5"""
    made, seen = task(add), []
    made(1)
    made.on_completion_hooks = [lambda t, run, state: seen.append(state.name)]
    made(1)
    assert seen == ["Completed"]


def test_the_function_can_be_called_without_a_run():
    """6.6, 38.6"""
    made = task(add, retries=3, on_running=[lambda *_: pytest.fail("a run")])
    assert made.fn(1, 2) == 3

"""Binding the arguments of a call: `SignaturePlan`, `get_call_parameters` and their errors."""

import functools
import inspect
import subprocess
import sys

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from oxtask.exceptions import ParameterBindError
from oxtask.utilities.callables import (
    SignaturePlan,
    call_with_parameters,
    get_call_parameters,
    get_parameter_defaults,
    signature_plan,
)


def everything(a, /, b, c=3, *args, d, e=5, **kwargs):
    return (a, b, c, args, d, e, kwargs)


def test_binding_an_ordinary_function_does_not_import_inspect():
    """41.2"""
    script = (
        "import sys\n"
        "before = 'inspect' in sys.modules\n"
        "from oxtask.utilities.callables import get_call_parameters\n"
        "assert get_call_parameters(lambda x, y=1: 0, (1,), {}) == {'x': 1, 'y': 1}\n"
        "assert before or 'inspect' not in sys.modules\n"
        "assert 'pydantic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


class TestGetCallParameters:
    def test_binds_in_signature_order_with_defaults(self):
        """13.1"""
        bound = get_call_parameters(everything, (1, 2), {"d": 4})
        assert list(bound.items()) == [
            ("a", 1),
            ("b", 2),
            ("c", 3),
            ("args", ()),
            ("d", 4),
            ("e", 5),
            ("kwargs", {}),
        ]
        assert type(bound) is dict

    def test_variadic_arguments_appear_under_their_names(self):
        """13.1"""
        bound = get_call_parameters(everything, (1, 2, 3, 4, 5), {"d": 6, "z": 7})
        assert bound["args"] == (4, 5)
        assert bound["kwargs"] == {"z": 7}

    def test_defaults_are_the_very_objects(self):
        """13.1"""
        default = []

        def f(x=default, *, y=default): ...

        bound = get_call_parameters(f, (), {})
        assert bound["x"] is default
        assert bound["y"] is default

    def test_without_defaults_only_what_was_given_appears(self):
        """13.2"""
        bound = get_call_parameters(everything, (1,), {"b": 2, "d": 4}, apply_defaults=False)
        assert bound == {"a": 1, "b": 2, "d": 4}

    def test_a_positional_only_name_may_come_again_in_kwargs(self):
        """13.7"""

        def f(a, /, **kw): ...

        assert get_call_parameters(f, (1,), {"a": 2}) == {"a": 1, "kw": {"a": 2}}
        assert get_call_parameters(f, (1,), {"kw": 2}) == {"a": 1, "kw": {"kw": 2}}

    def test_nothing_is_validated_or_converted(self):
        """13.6"""

        def f(x: int, y: "no such type"): ...  # noqa: F722

        assert get_call_parameters(f, ("text", None), {}) == {"x": "text", "y": None}

    def test_plans_give_the_same_for_repeated_binds(self):
        """41.2"""
        plan = signature_plan(everything)
        for value in range(3):
            assert plan.bind((value, 2), {"d": 4})["a"] == value


class TestBindErrors:
    @pytest.mark.parametrize(
        ("args", "kwargs", "reason"),
        [
            ((1,), {}, "missing a required argument: 'y'"),
            ((1, 2), {"x": 1}, "multiple values for argument 'x'"),
            ((1, 2, 3, 4), {}, "too many positional arguments"),
            ((1, 2), {"unknown": 1}, "got an unexpected keyword argument 'unknown'"),
        ],
    )
    def test_name_the_function_the_reason_and_what_was_received(self, args, kwargs, reason):
        """13.3, 42.11"""

        def f(x: int, y, z=1) -> int: ...

        with pytest.raises(ParameterBindError) as caught:
            get_call_parameters(f, args, kwargs)
        first, second = str(caught.value).split("\n")
        assert first == f"Error binding parameters for function 'f': {reason}."
        assert "'x: int, y, z=1'" in second
        assert f"received args: {args} and kwargs: {list(kwargs)}" in second
        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value.__cause__, TypeError)

    def test_a_name_given_twice_does_not_end_in_kwargs(self):
        """13.3"""

        def f(x, **kw): ...

        with pytest.raises(ParameterBindError, match="multiple values for argument 'x'"):
            get_call_parameters(f, (1,), {"x": 2, "y": 3})

    def test_positional_only_parameters_cannot_be_passed_by_keyword(self):
        """13.7"""

        def f(a, /): ...

        def g(a=1, /): ...

        for fn in (f, g):
            with pytest.raises(ParameterBindError):
                get_call_parameters(fn, (), {"a": 1})

    @pytest.mark.parametrize(
        ("fn", "name"),
        [
            (functools.partial(everything, 1), "partial"),
            (type("Call", (), {"__call__": lambda self: 0})(), "Call"),
        ],
        ids=["partial", "instance"],
    )
    def test_callables_without_a_name_are_called_by_their_type(self, fn, name):
        """13.4, W22"""
        with pytest.raises(ParameterBindError, match=f"for function '{name}'"):
            get_call_parameters(fn, (), {"unknown": 1})

    def test_are_short_whatever_the_arguments_and_defaults(self):
        """13.3"""

        class Loud:
            def __repr__(self):
                return "loud" * 1000

        class Broken:
            def __repr__(self):
                raise ValueError("no repr")

        def f(x=Loud()): ...

        def g(x, y=Broken()): ...

        with pytest.raises(ParameterBindError) as caught:
            get_call_parameters(f, (Loud(), Loud()), {})
        assert len(str(caught.value)) < 2000
        with pytest.raises(ParameterBindError, match="signature 'x, y'"):
            get_call_parameters(g, (), {})


class TestFieldDefaults:
    def test_the_default_of_a_field_is_unwrapped(self):
        """V2"""
        default = [1]

        def f(x=Field(default=default), *, y: int = Field(2, gt=1)): ...

        bound = get_call_parameters(f, (), {})
        assert bound["x"] is default
        assert bound["y"] == 2
        assert get_call_parameters(f, (5,), {})["x"] == 5

    def test_a_default_factory_is_called_for_each_call(self):
        """V2"""

        def f(x=Field(default_factory=list)): ...

        plan = signature_plan(f)
        first, second = plan.bind((), {}), plan.bind((), {})
        assert first == second == {"x": []}
        assert first["x"] is not second["x"]
        assert plan.bind((), {}, apply_defaults=False) == {}

    def test_a_default_factory_may_take_what_is_bound_already(self):
        """V2"""

        def f(a, b=Field(default_factory=lambda bound: bound["a"] + 1)): ...

        assert get_call_parameters(f, (1,), {}) == {"a": 1, "b": 2}

    def test_a_field_without_default_is_required(self):
        """V2"""

        def f(x: int = Field(description="needed")): ...

        with pytest.raises(ParameterBindError, match="missing a required argument: 'x'"):
            get_call_parameters(f, (), {})
        assert signature_plan(f).required_count == 1

    def test_get_parameter_defaults_shows_what_the_function_would_receive(self):
        """37.3, V2"""

        def f(
            a, b=1, *args, c=Field(default=2), d=Field(default_factory=list), e=Field(), **kw
        ): ...

        assert get_parameter_defaults(f) == {"b": 1, "c": 2, "d": []}


class TestSignaturePlan:
    def test_describes_the_signature(self):
        """13.1"""
        plan = signature_plan(everything)
        assert isinstance(plan, SignaturePlan)
        assert plan.names == ("a", "b", "c", "args", "d", "e", "kwargs")
        assert plan.kinds == (0, 1, 1, 2, 3, 3, 4)
        assert plan.defaults == {"c": 3, "e": 5}
        assert plan.required_count == 3
        assert plan.has_var_positional
        assert plan.has_var_keyword
        assert plan.signature == inspect.signature(everything)
        assert repr(plan) == "<SignaturePlan everything(a, /, b, c=3, *args, d, e=5, **kwargs)>"

    @pytest.mark.parametrize(
        "fn",
        [
            everything,
            functools.partial(everything, 1),
            functools.partial(everything, 1, c=2),
            functools.wraps(everything)(lambda *args, **kwargs: 0),
            type("Class", (), {"__init__": lambda self, x, y=1: None}),
            type("Call", (), {"__call__": lambda self, x, y=1: 0})(),
            type("Owner", (), {"method": lambda self, x: 0})().method,
            len,
            cloudpickle.dumps,
        ],
        ids=str,
    )
    def test_agrees_with_inspect_for_any_kind_of_callable(self, fn):
        """W11"""
        plan = signature_plan(fn)
        parameters = inspect.signature(fn).parameters
        assert plan.names == tuple(parameters)
        assert plan.kinds == tuple(parameter.kind for parameter in parameters.values())

    @pytest.mark.parametrize("fn", [dict, type("Odd", (), {"__signature__": 5})], ids=repr)
    def test_a_callable_without_a_readable_signature_is_a_type_error_that_says_so(self, fn):
        """W11"""
        with pytest.raises(
            TypeError, match="fn must have a signature that Python can read; got <class"
        ) as caught:
            signature_plan(fn)
        assert "Wrap it in a function" in str(caught.value)

    @pytest.mark.parametrize("value", [0, "text", None])
    def test_what_is_not_callable_is_a_type_error_that_says_so(self, value):
        """2.4, W11"""
        with pytest.raises(TypeError, match="fn must be callable; got"):
            signature_plan(value)


@st.composite
def functions(draw):
    """Functions with random parameters that return what they received."""
    names = iter("abcdefgh")
    counts = [draw(st.integers(0, 2)) for _ in range(5)]
    positional = [next(names) for _ in range(counts[0] + counts[1])]
    defaults_from = draw(st.integers(0, len(positional)))
    parts = [n if i < defaults_from else f"{n}='default {n}'" for i, n in enumerate(positional)]
    if counts[0]:
        parts.insert(counts[0], "/")
    if draw(st.booleans()):
        parts.append("*args")
    elif counts[2]:
        parts.append("*")
    for _ in range(counts[2]):
        name = next(names)
        parts.append(draw(st.sampled_from([name, f"{name}='default {name}'"])))
    if draw(st.booleans()):
        parts.append("**kwargs")
    namespace = {}
    exec(f"def fn({', '.join(parts)}): return locals()", namespace)
    return namespace["fn"]


calls = st.tuples(
    st.lists(st.integers(), max_size=5).map(tuple),
    st.dictionaries(st.sampled_from("abcdefz"), st.integers(), max_size=4),
)


@given(functions(), calls)
def test_binding_gives_what_the_function_receives(fn, call):
    """13.1, 13.2, 13.3"""
    args, kwargs = call
    try:
        # Not `inspect`: before Python 3.13 it refuses some calls that Python accepts.
        received = fn(*args, **kwargs)
    except TypeError:
        for apply_defaults in (True, False):
            with pytest.raises(ParameterBindError, match=r"'fn': [^.]+"):
                get_call_parameters(fn, args, kwargs, apply_defaults)
        return
    names = list(inspect.signature(fn).parameters)
    bound = get_call_parameters(fn, args, kwargs)
    assert bound == received
    assert list(bound) == names

    given = get_call_parameters(fn, args, kwargs, apply_defaults=False)
    assert list(given) == [name for name in names if name in given]
    assert given == {
        name: value
        for name, value in received.items()
        if not (isinstance(value, str) or value in ((), {}))  # defaults are texts here
    }


@given(functions(), calls)
def test_a_call_that_was_bound_and_rebuilt_reaches_the_function_unchanged(fn, call):
    """15.1"""
    args, kwargs = call
    try:
        received = fn(*args, **kwargs)
    except TypeError:
        return
    for apply_defaults in (True, False):
        bound = get_call_parameters(fn, args, kwargs, apply_defaults)
        assert call_with_parameters(fn, bound) == received

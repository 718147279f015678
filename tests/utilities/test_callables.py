import functools
import pickle

import cloudpickle
import pytest
from pydantic import Field

from oxtask.exceptions import ReservedArgumentError, SignatureMismatchError
from oxtask.utilities import callables
from oxtask.utilities.callables import (
    call_with_parameters,
    cloudpickle_wrapped_call,
    collapse_variadic_parameters,
    explode_variadic_parameter,
    get_call_parameters,
    parameters_to_args_kwargs,
    raise_for_reserved_arguments,
    warn_for_shadowed_arguments,
)


def everything(a, /, b, c=3, *args, d, e=5, **kwargs):
    return (a, b, c, args, d, e, kwargs)


def test_everything_in_all_exists():
    """1.5"""
    for name in callables.__all__:
        assert getattr(callables, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = callables.nothing


class TestParametersToArgsKwargs:
    def test_required_go_by_position_and_defaulted_by_keyword(self):
        """15.1"""

        def f(x, y, z=1, *, k, m=2): ...

        parameters = {"x": 1, "y": 2, "z": 3, "k": 4, "m": 5}
        assert parameters_to_args_kwargs(f, parameters) == ((1, 2), {"z": 3, "k": 4, "m": 5})

    def test_positional_only_go_by_position_even_with_a_default(self):
        """15.1"""

        def f(x, y=1, /, z=2): ...

        assert parameters_to_args_kwargs(f, {"x": 1, "y": 2, "z": 3}) == ((1, 2), {"z": 3})

    def test_everything_before_args_goes_by_position(self):
        """15.1"""
        parameters = get_call_parameters(everything, (1, 2, 3, 4), {"d": 5, "z": 6})
        assert parameters_to_args_kwargs(everything, parameters) == (
            (1, 2, 3, 4),
            {"d": 5, "e": 5, "z": 6},
        )

    def test_kwargs_may_not_repeat_a_parameter(self):
        """15.2, 42.20"""

        def f(x, /, y=1, **kw): ...

        assert parameters_to_args_kwargs(f, {"x": 1, "kw": {"x": 2}}) == ((1,), {"x": 2})
        assert parameters_to_args_kwargs(f, {"x": 1, "kw": {"y": 2}}) == ((1,), {"y": 2})
        with pytest.raises(TypeError, match="got multiple values for argument 'y'"):
            parameters_to_args_kwargs(f, {"x": 1, "y": 1, "kw": {"y": 2}})

    def test_unknown_parameters_are_listed(self):
        """15.3"""
        with pytest.raises(SignatureMismatchError) as caught:
            parameters_to_args_kwargs(lambda x, y: 0, {"x": 1, "q": 2})
        assert "['x', 'y']" in str(caught.value)
        assert "['x', 'q']" in str(caught.value)
        with pytest.raises(SignatureMismatchError):
            parameters_to_args_kwargs(lambda: 0, {"x": 1})

    def test_missing_ones_are_left_to_the_call_and_shift_nothing(self):
        """15.3"""

        def f(x, y): ...

        def g(x, *rest): ...

        assert parameters_to_args_kwargs(f, {"y": 1}) == ((), {"y": 1})
        assert parameters_to_args_kwargs(g, {"rest": (1,)}) == ((), {})

    def test_a_missing_default_keeps_its_place_before_later_values(self):
        """15.1"""

        def f(x=1, y=2, /, *rest): ...

        assert parameters_to_args_kwargs(f, {"y": 5}) == ((1, 5), {})
        assert parameters_to_args_kwargs(f, {"rest": (7,)}) == ((1, 2, 7), {})
        assert parameters_to_args_kwargs(f, {"x": 5}) == ((5,), {})
        assert parameters_to_args_kwargs(f, {}) == ((), {})

    def test_what_follows_a_keyword_goes_by_keyword(self):
        """15.1, V2"""

        def f(x=1, y=Field(description="required, but Python sees a default")): ...

        assert parameters_to_args_kwargs(f, {"x": 1, "y": 2}) == ((), {"x": 1, "y": 2})

    def test_call_with_parameters_calls(self):
        """1.5"""
        parameters = get_call_parameters(everything, (1, 2, 3, 4), {"d": 5, "z": 6})
        assert call_with_parameters(everything, parameters) == (1, 2, 3, (4,), 5, 5, {"z": 6})


def wrapper(parameters, inner):
    """Make a `functools.wraps` wrapper with the given parameters that returns what it received."""
    namespace = {}
    exec(f"def wrapper({parameters}): return locals()", namespace)
    return functools.wraps(inner)(namespace["wrapper"])


class TestWrappers:
    @pytest.mark.parametrize(
        ("parameters", "expected"),
        [
            ("*args, **kwargs", ((1, 2), {"z": 3})),
            ("**kwargs", ((), {"x": 1, "y": 2, "z": 3})),
            ("first, **kwargs", ((1,), {"y": 2, "z": 3})),
            ("first, *args, **kwargs", ((1, 2), {"z": 3})),
            ("y, x, **kwargs", ((1, 2), {"z": 3})),
            ("*, x, **kwargs", ((), {"x": 1, "y": 2, "z": 3})),
            ("*args, y, **kwargs", ((1,), {"y": 2, "z": 3})),
            ("*args, z", ((1, 2), {"z": 3})),
        ],
    )
    def test_get_by_position_what_their_own_signature_takes(self, parameters, expected):
        """15.4, 7.7"""

        def inner(x, y=0, *, z=0): ...

        wrapped = wrapper(parameters, inner)
        bound = get_call_parameters(wrapped, (1,), {"y": 2, "z": 3})
        assert parameters_to_args_kwargs(wrapped, bound) == expected
        call_with_parameters(wrapped, bound)

    def test_with_args_only_get_everything_by_position(self):
        """15.4"""

        def inner(x, y=2): ...

        wrapped = wrapper("*args", inner)
        assert call_with_parameters(wrapped, {"x": 1, "y": 5}) == {"args": (1, 5)}

    def test_that_take_too_little_fail_in_the_call(self):
        """15.4"""

        def inner(x, y): ...

        wrapped = wrapper("only", inner)
        with pytest.raises(TypeError, match="positional argument"):
            call_with_parameters(wrapped, {"x": 1, "y": 2})

    def test_may_be_partially_applied(self):
        """15.4"""

        def inner(x, y, z=3): ...

        partial = functools.partial(wrapper("*args, **kwargs", inner), 1)
        bound = get_call_parameters(partial, (2,), {})
        assert bound == {"y": 2, "z": 3}
        assert call_with_parameters(partial, bound) == {"args": (1, 2, 3), "kwargs": {}}

    def test_of_a_variadic_function_get_its_args_by_position(self):
        """15.4"""

        def inner(x, *rest): ...

        for parameters in ("*args", "*args, x=0, **kwargs"):
            wrapped = wrapper(parameters, inner)
            bound = get_call_parameters(wrapped, (1, 2, 3), {})
            assert parameters_to_args_kwargs(wrapped, bound) == ((1, 2, 3), {})

    def test_get_by_keyword_what_would_otherwise_move_to_another_place(self):
        """15.4"""

        def inner(x, y, z=0): ...

        wrapped = wrapper("*args, y, **kwargs", inner)
        bound = get_call_parameters(wrapped, (1, 2, 3), {})
        assert parameters_to_args_kwargs(wrapped, bound) == ((1,), {"y": 2, "z": 3})


class TestReservedNames:
    @pytest.mark.parametrize(
        "fn",
        [
            lambda wait_for: 0,
            lambda *wait_for: 0,
            lambda **wait_for: 0,
            lambda *, wait_for=1: 0,
            lambda wait_for, /: 0,
        ],
    )
    def test_of_any_kind_are_refused(self, fn):
        """14.1, 42.5"""
        with pytest.raises(
            ReservedArgumentError, match="'wait_for' is a reserved argument name and cannot be used"
        ):
            raise_for_reserved_arguments(fn, ["return_state", "wait_for"])

    def test_other_names_are_fine(self):
        """14.1"""
        raise_for_reserved_arguments(everything, ["return_state", "wait_for"])

    def test_a_parameter_shadowed_by_an_option_of_a_method_is_warned_about(self):
        """14.2, W23"""

        def work(deferred): ...

        with pytest.warns(UserWarning, match=r"'deferred' of 'work'.*`\.map\(\)`") as caught:
            warn_for_shadowed_arguments(work, ".map()", ["deferred"], stacklevel=1)
        assert caught[0].filename == __file__
        warn_for_shadowed_arguments(everything, ".map()", ["deferred"])


class TestVariadicParameters:
    @staticmethod
    def fn(a, b=1, **kw): ...

    def test_explode_moves_members_to_the_top(self):
        """37.1"""
        parameters = {"a": 1, "kw": {"z": 1, "a": 5}}
        assert explode_variadic_parameter(self.fn, parameters) == {"a": 5, "z": 1}
        assert parameters == {"a": 1, "kw": {"z": 1, "a": 5}}

    def test_explode_without_anything_to_move_does_nothing(self):
        """37.1"""
        parameters = {"a": 1}
        assert explode_variadic_parameter(self.fn, parameters) is parameters
        assert explode_variadic_parameter(lambda a: 0, parameters) is parameters

    def test_collapse_is_the_inverse(self):
        """37.2"""
        parameters = {"a": 1, "kw": {"z": 1}}
        exploded = explode_variadic_parameter(self.fn, parameters)
        assert collapse_variadic_parameters(self.fn, exploded) == parameters

    def test_collapse_without_unknown_keys_returns_the_same_dict(self):
        """37.2"""
        parameters = {"a": 1}
        assert collapse_variadic_parameters(self.fn, parameters) is parameters

    def test_collapse_refuses_unknown_keys_where_they_cannot_go(self):
        """37.2"""
        with pytest.raises(ValueError, match=r"names \['z'\], but '<lambda>' takes only \['a'\]"):
            collapse_variadic_parameters(lambda a: 0, {"a": 1, "z": 2})


def test_cloudpickle_wrapped_call_crosses_processes_with_plain_pickle():
    """37.5"""
    offset = 10
    call = cloudpickle_wrapped_call(lambda x, y=0: x + y + offset, 1, y=2)
    assert cloudpickle.loads(pickle.loads(pickle.dumps(call))()) == 13


def test_cloudpickle_wrapped_call_accepts_any_keyword():
    """37.5"""
    call = cloudpickle_wrapped_call(lambda fn: fn, fn=1)
    assert cloudpickle.loads(call()) == 1

"""The hierarchy of exceptions, their messages, and their way through pickle."""

import inspect
import pickle
import signal
from functools import partial

import cloudpickle
import pydantic
import pytest

from oxtask import exceptions
from oxtask.exceptions import (
    Abort,
    CrashedRun,
    ExternalSignal,
    OxtaskException,
    OxtaskSignal,
    ParameterBindError,
    ParameterTypeError,
    Pause,
    PausedRun,
    ScriptError,
    SignatureMismatchError,
    TerminationSignal,
)
from oxtask.states import Completed, Paused, Running

OWN_ERRORS = {
    "CrashedRun": (),
    "RemoteError": (),
    "TransferError": (TypeError,),
    "WorkerDiedError": (CrashedRun,),
    "FailedRun": (),
    "CancelledRun": (),
    "PausedRun": (),
    "UnfinishedRun": (),
    "MissingResult": (),
    "MissingFlowError": (),
    "UnspecifiedFlowError": (),
    "ScriptError": (),
    "ParameterTypeError": (),
    "ParameterBindError": (TypeError,),
    "SignatureMismatchError": (TypeError,),
    "ObjectNotFound": (),
    "ObjectAlreadyExists": (),
    "UpstreamTaskError": (),
    "MissingContextError": (RuntimeError,),
    "MissingProfileError": (ValueError,),
    "ReservedArgumentError": (TypeError,),
    "InvalidNameError": (ValueError,),
    "MappingLengthMismatch": (),
    "MappingMissingIterable": (),
    "NotPausedError": (),
    "FlowPauseTimeout": (),
    "FlowRunWaitTimeout": (),
    "SerializationError": (),
    "ConfigurationError": (),
    "HashError": (),
    "CorruptRecordError": (ValueError,),
    "NewerRecordError": (ValueError,),
    "ResultPersistenceError": (),
    "ResultStoreError": (OSError,),
    "TransactionCommitError": (),
    "LockTimeoutError": (TimeoutError,),
    "DeadlockError": (RuntimeError,),
    "ForkedProcessError": (RuntimeError,),
    "TooManyStuckTasksError": (RuntimeError,),
}
TIMEOUTS = ["TaskRunTimeoutError", "FlowRunTimeoutError"]
EVERYTHING = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if kind.__module__ == exceptions.__name__ and not kind.__name__.startswith("_")
]


def make(kind):
    """Make an exception of any kind, with every attribute it can have."""
    if kind is ScriptError:
        return kind(ValueError("v"), "flow.py")
    if kind is TerminationSignal:
        return kind(signal.SIGTERM)
    if kind in (PausedRun, Pause):
        return kind("message", state=Paused(message="m"))
    return kind("message")


@pytest.mark.parametrize(("name", "bases"), OWN_ERRORS.items())
def test_errors_have_the_bases_programs_catch_them_by(name, bases):
    """EX-01, 1.9"""
    kind = getattr(exceptions, name)
    assert issubclass(kind, (OxtaskException, *bases))
    assert all(issubclass(kind, base) for base in (OxtaskException, Exception, *bases))


@pytest.mark.parametrize("name", TIMEOUTS)
def test_timeouts_are_timeout_errors(name):
    """EX-04, TE-84"""
    error = getattr(exceptions, name)("Scope timed out after 0.1 second(s).")
    assert isinstance(error, TimeoutError)
    assert str(error) == "Scope timed out after 0.1 second(s)."


@pytest.mark.parametrize("name", TIMEOUTS)
def test_a_timeout_tells_how_long_the_run_may_take(name):
    """TE-84"""
    error = getattr(exceptions, name).after(0.1)
    assert str(error) == "Scope timed out after 0.1 second(s)."
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.timeout_seconds) == (str(error), 0.1)


def test_signals_are_not_swallowed_by_except_exception():
    """EX-02"""
    assert [Abort.__mro__[1], Pause.__mro__[1]] == [OxtaskSignal, OxtaskSignal]
    assert TerminationSignal.__mro__[1] is ExternalSignal
    for kind in (OxtaskSignal, ExternalSignal):
        assert issubclass(kind, BaseException)
        assert not issubclass(kind, Exception)


def test_signals_carry_what_they_are_about():
    """EX-02"""
    state = Paused()
    assert Pause(state=state).state is state
    assert Pause("m").state is None
    assert PausedRun("m", state=state).state is state
    assert TerminationSignal(signal=signal.SIGTERM).signal == signal.SIGTERM
    assert str(TerminationSignal(15)) == "received signal SIGTERM"
    assert str(TerminationSignal(999)) == "received signal 999"


def test_every_exception_is_covered_by_these_tests():
    """EX-01, EX-02"""
    others = {"OxtaskException", "OxtaskSignal", "ExternalSignal", "Abort", "Pause"}
    expected = {*OWN_ERRORS, *TIMEOUTS, *others, "TerminationSignal"}
    assert {kind.__name__ for kind in EVERYTHING} == expected


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
@pytest.mark.parametrize("kind", EVERYTHING, ids=lambda kind: kind.__name__)
def test_every_exception_survives_pickling(kind, dumps):
    """EX-03"""
    error = make(kind)
    again = pickle.loads(dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert repr(again.args) == repr(error.args)
    assert repr(vars(again)) == repr(vars(error))


def test_an_invalid_parameter_is_named_with_what_is_wrong_with_it():
    """FL-32"""

    class Parameters(pydantic.BaseModel):
        x: int
        y: list[int]

    with pytest.raises(pydantic.ValidationError) as caught:
        Parameters(x="a", y=[1, "b"])
    lines = str(ParameterTypeError.from_validation_error(caught.value)).splitlines()
    assert lines[0] == "Flow run received invalid parameters:"
    assert lines[1].startswith(" - x: Input should be a valid integer")
    assert lines[2].startswith(" - y.1: Input should be a valid integer")


def bind_failure(fn, *args, **kwargs):
    with pytest.raises(TypeError) as caught:
        inspect.signature(fn).bind(*args, **kwargs)
    return str(ParameterBindError.from_bind_failure(fn, caught.value, args, kwargs))


def test_a_bad_call_is_told_with_signature_and_arguments():
    """13.3"""

    def add(x, y=1):
        """Never called."""

    assert bind_failure(add, z=2) == (
        "Error binding parameters for function 'add': missing a required argument: 'x'.\n"
        "The function has signature 'x, y=1' and received args: () and kwargs: ['z']."
    )
    assert "multiple values for argument 'x'" in bind_failure(add, 1, x=2)


def test_a_bad_call_of_something_without_a_name_is_told_by_its_type():
    """13.4, W22"""

    class Adder:
        def __call__(self, x):
            """Never called."""

    assert "for function 'Adder'" in bind_failure(Adder())
    assert "for function 'partial'" in bind_failure(partial(Adder()))


def test_a_bad_call_with_large_arguments_has_a_message_of_bounded_size():
    """13.3"""
    assert len(bind_failure(lambda: None, "x" * 1_000_000)) < 1000


def test_a_parameter_the_function_does_not_have_is_named():
    """15.3"""
    error = SignatureMismatchError.from_bad_params(["a", "b"], ["a", "c"])
    assert str(error).startswith(
        "Function expects parameters ['a', 'b'] but was provided with parameters ['a', 'c']."
    )
    assert "['c']" in str(error)


def test_a_script_error_tells_script_and_cause():
    """EX-01"""
    cause = ValueError("v")
    error = ScriptError(cause, path="flow.py")
    assert str(error) == "Script at 'flow.py' encountered an exception: ValueError('v')"
    assert (error.user_exc, error.path) == (cause, "flow.py")


def test_states_in_exceptions_survive_pickling():
    """EX-03"""
    for state in (Completed(data=1), Running()):
        assert pickle.loads(pickle.dumps(Pause(state=state))).state == state

"""The scheduler, the futures and the argument walk, in Rust. Private: use the modules of `oxtask`.

Where a run's outcome is a number: 0 completed, 1 failed, 2 timed out, 3 crashed, 4 cancelled, 5 not
ready, 6 and 7 a state of its own, good or bad, 8 completed with what the cache had; 10 waiting, 11
running, 12 awaiting retry.
"""

from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from types import FrameType, GenericAlias
from typing import Any, Literal, final
from uuid import UUID

from typing_extensions import Self, disjoint_base

from oxtask.states import State

__all__ = [
    "Alarm",
    "Blocking",
    "Caching",
    "Completions",
    "Costs",
    "Envelope",
    "Flight",
    "KeyPlan",
    "Pack",
    "Plan",
    "Run",
    "RunTask",
    "Runner",
    "SourceKey",
    "StagedResult",
    "Stream",
    "TaskBase",
    "TaskRunFuture",
    "Trace",
    "after_fork_in_child",
    "all_native",
    "before_fork",
    "begin_direct",
    "current_keeping",
    "current_run",
    "current_runner",
    "frame_of",
    "futures_in",
    "hash_inputs",
    "hash_value",
    "jittered",
    "lead_flight",
    "leave",
    "mixed_id",
    "needs_resolving",
    "open_record",
    "pause_packs",
    "record_every_run",
    "register_state_class",
    "resolve",
    "resume_packs",
    "resume_packs_in_child",
    "seal_record",
    "seal_value",
    "settle",
    "settled",
    "unsettled",
    "values",
    "wait_all",
]

current_run: ContextVar[Any]
"""The `Run` whose body this context belongs to, or a `TaskRunContext` that was entered by hand."""
current_keeping: ContextVar[Any]
"""Set where results are kept, or transactions open: runs made there need the Python engine."""
current_runner: ContextVar[Any]
"""Who runs what is submitted here: a `Runner`, or a `TaskRunner` written in Python."""

@disjoint_base
class TaskBase:
    """The base of `oxtask.Task`: calls and submits without Python code of its own where it can."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here, or hand the call to `Task._call`."""

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Submit a run to the current `Runner`, or hand the call to `Task._submit`."""

    def _forget_plan(self) -> None:
        """Have the plan made anew on next use: the task was changed."""

@final
class Plan:
    """What the core knows of a task: its function, how calls bind, whether runs need the engine.

    The function of a plan of kind ``"carried"`` is no task's: it is called with a run and its
    arguments in the place of ``oxtask._internal.engine.run_attempt``, and answers as that does.
    """

    def __new__(
        cls,
        *,
        function: Callable[..., Any],
        kind: Literal["sync", "async", "other", "carried"],
        rich: bool,
        rich_if_found: bool,
        completing: Callable[[Run, Any], None] | None,
        retries: int,
        delays: list[float],
        jitter: float,
        has_timeout: bool,
        caching: Caching | None,
        hooks: list[list[Any]],
        names: list[str],
        positional: int,
        positional_only: int,
        required: list[bool],
        var_positional: bool,
        var_keyword: bool,
    ) -> Plan: ...

@final
class Runner:
    """A pool: ready queue, worker threads, slots."""

    def __new__(cls, max_workers: int | None = None) -> Runner: ...
    @property
    def threads(self) -> tuple[int, int]:
        """Live worker threads, and threads stuck in runs that were taken from them."""

    def submit(
        self,
        task: TaskBase,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
        wait_for: Any = None,
        plan: Plan | None = None,
    ) -> TaskRunFuture:
        """Queue a run, or park it until its inputs have ended; ``plan`` stands for the task's."""

    def map(
        self,
        task: TaskBase,
        args: list[tuple[bool, Any]],
        kwargs: list[tuple[str, bool, Any]],
        length: int,
        wait_for: Any = None,
    ) -> list[Any]:
        """Queue a run for each item of the columns marked true, which are lists of ``length``."""

    def drain(self, timeout: float | None = None) -> bool:
        """Block until every run has ended; false when ``timeout`` seconds passed first."""

    def close(self) -> None:
        """Let workers leave when the queue is empty, and refuse new runs."""

    def cancel_all(self, running: bool = False) -> tuple[int, list[TaskRunFuture]]:
        """Cancel what has not started, and with ``running`` what has.

        Returns:
            How many runs were cancelled, and the first twenty of them.
        """

@final
class TaskRunFuture:
    """The future of a task run: see `oxtask.futures.Future`."""

    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    @property
    def task_run_id(self) -> UUID:
        """The id of the run."""

    @property
    def wrapped_future(self) -> TaskRunFuture:
        """This future: there is none behind it."""

    @property
    def state(self) -> State[Any]:
        """The state of the run as it is now."""

    def done(self) -> bool:
        """Tell whether the run has ended."""

    def wait(self, timeout: float | None = None) -> None:
        """Block until the run has ended, at most ``timeout`` seconds."""

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Return the result of the run, after waiting for it."""

    async def aresult(self) -> Any:
        """Return the result of the run without blocking the event loop."""

    def add_done_callback(self, function: Callable[[TaskRunFuture], object]) -> None:
        """Call ``function(future)`` when the run has ended; at once if it has."""

    def cancel(self) -> bool:
        """End the run as cancelled; false if it had ended before."""

    def _peek(self) -> tuple[int, Any]:
        """Return the outcome of the run and its output."""

    def _note_list(self, list: list[Any]) -> None:
        """Name the list that this future and all others of its group are in."""

    def _blocking(self) -> Blocking:
        """Return what to enter around awaiting the run."""

    @property
    def _times(self) -> tuple[int, int, int]:
        """Unix nanoseconds at which the run was made, first started and ended; 0 for not yet."""

    @property
    def _record(self) -> Any: ...
    @property
    def _retries(self) -> list[tuple[int, Any, float, int]]:
        """When attempts failed, with what, the delay, when the next began; core retries only."""

    @property
    def _task(self) -> Any: ...
    @property
    def _context(self) -> Context | None: ...
    @property
    def _id(self) -> int: ...
    def _observe(self) -> Trace | None:
        """Have `run_history.ended` called when the run ends; ``None`` if it has."""

    @property
    def _cache_key(self) -> str | None:
        """The key under which the core has stored, or found, the value of the run."""

    @property
    def _sources(self) -> Any:
        """Where the arguments came from, if that was noted."""

    def _set_sources(self, sources: Any) -> None: ...
    @property
    def _has_upstreams(self) -> bool:
        """Whether the run was given futures, or others to wait for."""

@final
class Trace:
    """A run that is not kept alive."""

    def future(self) -> TaskRunFuture | None:
        """Return the future of the run, unless all that could ask for its result are gone."""

@final
class Blocking:
    """The wait of code that awaits a run: enters it into the graph of waits."""

    def __enter__(self) -> None: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Run:
    """An attempt of a run as its own body sees it."""

    @property
    def task(self) -> Any: ...
    @property
    def future(self) -> TaskRunFuture: ...
    @property
    def id(self) -> int: ...
    @property
    def context(self) -> Context | None: ...
    @property
    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The resolved arguments."""

    @property
    def given(self) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The arguments before futures in them were resolved; ``None`` if there were none."""

    def set_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None: ...
    @property
    def wait_for(self) -> Any: ...
    @property
    def times(self) -> tuple[int, int, int]: ...
    def told(self) -> tuple[bool, int, str, str, int, int]:
        """Return what a line tells of the run.

        Whether its arguments were plain values, given outside of runs; the id, and its text; the
        digits in its name; when it was made and when it started.
        """

    @property
    def view(self) -> Any:
        """The `TaskRunContext` of the run, if it was made."""

    def set_view(self, view: Any) -> None: ...
    @property
    def transaction(self) -> Any:
        """The transaction of a run that has no need of one, if its body asked for it."""

    def set_transaction(self, transaction: Any) -> None: ...
    @property
    def cache_key(self) -> str | None:
        """The key under which the core stores what the body returns, if it does."""

    @property
    def is_rich(self) -> bool:
        """Whether the run goes through the Python engine."""

    @property
    def record(self) -> Any:
        """The `RunLog` of the run, if it keeps one."""

    def set_record(self, record: Any) -> None: ...
    def retry_after(self, failure: Any) -> float | None:
        """Note that the attempt failed; return the seconds to the next, if there is one."""

    def is_current(self) -> bool:
        """Tell whether this attempt still speaks for the run."""

    def arm(self, seconds: float) -> bool:
        """Take the run away from this thread after ``seconds``; false if that cannot be done."""

    def enter_body(self) -> None:
        """Begin the body: from here to `seal` the thread can be interrupted for the run."""

    def seal(self) -> bool:
        """End the body: nobody takes the run away any more; false if somebody has."""

    def begin_again(self) -> bool:
        """Begin the next attempt on the spot; false if the run was taken away."""

    def interrupt(self) -> bool:
        """Raise `RunInterrupted` in the thread that is still in the body; false if none is."""

@final
class RunTask:
    """Stands in for an `asyncio.Task` while an async run is driven."""

    def cancel(self, msg: Any = None) -> bool: ...
    def cancelling(self) -> int: ...
    def uncancel(self) -> int: ...
    def done(self) -> bool: ...
    def cancelled(self) -> bool: ...
    def add_done_callback(
        self, function: Callable[[Any], object], *, context: Context | None = None
    ) -> None: ...
    def remove_done_callback(self, function: Callable[[Any], object]) -> int: ...
    def get_coro(self) -> Any: ...
    def get_context(self) -> Context: ...
    def get_loop(self) -> Any: ...
    def get_name(self) -> str: ...
    @property
    def _fut_waiter(self) -> Any: ...
    @property
    def _must_cancel(self) -> bool: ...
    def _give_slot(self) -> None: ...
    def _take_slot(self, function: Callable[[], object]) -> bool: ...
    def _force_slot(self) -> None: ...
    def _wakeup(self, future: Any) -> None: ...

@final
class Completions:
    """The places of runs in the order in which they end."""

    def __new__(cls, futures: list[Any]) -> Completions: ...
    def next(self, timeout: float | None = None) -> int | None:
        """Return the next place; ``None`` when all were returned, or ``timeout`` passed first."""

    @property
    def left(self) -> int:
        """How many were not returned yet."""

@final
class Stream:
    """An iterator of the results of a task over an iterable: see `oxtask.Task.stream`."""

    def __new__(
        cls,
        runner: Runner,
        task: TaskBase,
        source: Iterator[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        ordered: bool,
        window: int,
    ) -> Stream: ...
    def __iter__(self) -> Stream: ...
    def __next__(self) -> Any: ...
    def __enter__(self) -> Stream: ...
    def __exit__(self, *_exception: object) -> None: ...
    def close(self) -> None:
        """Pull no more, and cancel what has not started."""

    @property
    def counts(self) -> tuple[int, int]:
        """How many items were pulled, and how many results taken."""

@final
class Alarm:
    """Rings once on the thread that made it: `SIGURG`, or an injected exception."""

    def __new__(cls, seconds: float, exception: type[BaseException] | None) -> Alarm: ...
    def cancel(self) -> None:
        """Ring no more: nothing is heard of the alarm once this has returned."""

def begin_direct(task: TaskBase, args: Any, kwargs: Any) -> Run:
    """Begin a run that the caller carries out and settles."""

def settle(run: Run, code: int, output: Any) -> None:
    """End a run that was begun by `begin_direct`; ``code`` is an outcome."""

def frame_of(thread_id: int) -> FrameType | None:
    """Return the frame that a thread is in."""

def needs_resolving(value: Any) -> int:
    """Tell how futures in a value are resolved: 0 there are none, 1 the core's walk, 2 Python's."""

def futures_in(value: Any) -> list[TaskRunFuture] | None:
    """Return the futures in a value; ``None`` if Python's walk is needed to find them."""

def mixed_id(number: int) -> int:
    """Return the bits of an id that names and keys of runs show."""

def record_every_run(on: bool) -> None:
    """Have the history told of every run that is made from now on, or not."""

def resolve(value: Any) -> Any:
    """Return a value with results in place of futures, after waiting for them on this thread."""

def wait_all(
    futures: list[Any], timeout: float | None = None, fail_fast: bool = False
) -> tuple[bool, int | None]:
    """Block until all have ended, or one has failed; return whether, and the place of that one."""

def all_native(futures: list[Any]) -> bool:
    """Tell whether all are `TaskRunFuture`s."""

def unsettled(futures: list[Any]) -> int:
    """Count the runs that have not ended."""

def settled(futures: list[Any]) -> list[int]:
    """Return the places of the runs that have ended."""

def values(futures: list[Any]) -> list[Any] | None:
    """Return the results in order; ``None`` unless every run simply completed."""

def jittered(seconds: float, jitter_factor: float) -> float:
    """Draw a delay around ``seconds``; the law is described in `oxtask_core::retry`."""

def register_state_class(class_: type) -> None:
    """Tell the core which class run states are of."""

def before_fork() -> None:
    """Import what is imported on first use, so that no import is half way in the child."""

def after_fork_in_child() -> None:
    """Start anew in a forked child; what was made before the fork is refused from then on."""

def leave() -> None:
    """Begin the exit of the interpreter: no thread is started any more."""

@final
class Flight:
    """That somebody makes what several want at once: the others wait until it ends.

    It ends when it is dropped, too, and with the process.
    """

    def end(self) -> None:
        """End it; nothing happens if it has ended."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

def lead_flight(key: str, wait: bool = True) -> Flight | None:
    """Begin to make what has a key, if nobody else does, in this process or in another.

    Who has looked for a result and not found it calls this in the context of his run. With a
    flight he looks once more, because somebody may have ended between the two, and then makes the
    result. Without one he looks again: somebody else made it until now, or has failed.

    Nobody waits for himself: who would wait for a run that cannot go on before he has ended gets a
    flight of no effect, and makes the result, too.

    Args:
        key: What is made.
        wait: Whether to wait for whoever makes it, with the slots of the thread given back. If
            not, ``None`` also means that somebody still does: to be asked again from an event loop.
    """

@final
class SourceKey:
    """The key of what a function does, kept as long as nothing that it was made of changes."""

    def __new__(cls, function: Any) -> Self: ...
    def key(self) -> str:
        """Return the key as it is now.

        Raises:
            HashError: If a value that the function closes over cannot be hashed.
        """

    def is_kept(self) -> bool:
        """Tell whether the key was kept when it was last made, and still holds."""

@final
class Caching:
    """How the core caches the runs of a task by itself; see `oxtask._internal.cache_plans`."""

    def __new__(
        cls,
        *,
        keys: KeyPlan,
        receiver: Any,
        expiration: int | None,
        open: Callable[[Any], Any],
        inherits: bool,
        costs: Costs,
    ) -> Caching: ...

@final
class Costs:
    """Sums of what caching costs a task and saves it; see `oxtask._internal.cache_costs`."""

    def __new__(cls, name: str) -> Costs: ...
    def found(self, hashing: int, reading: int, took: int) -> None:
        """Count a run whose value was found; times are nanoseconds."""

    def stored(self, hashing: int, reading: int, writing: int, took: int) -> None:
        """Count a run whose value was computed and stored; times are nanoseconds."""

    @property
    def sums(self) -> tuple[int, int, int, int, int, int, int]:
        """Hits, misses, and nanoseconds hashing, reading, writing, computing and saved."""

@final
class KeyPlan:
    """How the keys of a task's runs are made; see `oxtask._internal.keys_plans`."""

    def __new__(
        cls,
        *,
        name: str,
        members: list[str],
        is_sum: bool,
        names: list[str],
        kinds: bytes,
        defaults: dict[str, Any],
        exclude: list[str] = ...,
        algorithm: str | None = None,
        source: SourceKey | None = None,
    ) -> Self: ...
    @property
    def members(self) -> list[str]:
        """The names of the policies that take part."""

    def compute(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
        flow_run_id: Any = None,
        task_run_id: int = 0,
        flow_parameters: dict[str, Any] | None = None,
    ) -> str | None:
        """Return the key of a run, or ``None`` if it has none.

        Args:
            args: The positional arguments, which fit; the first is what the task is bound to.
            kwargs: The keyword arguments.
            flow_run_id: The id of the flow run that the run belongs to.
            task_run_id: The id of the run.
            flow_parameters: The parameters of the flow run.

        Raises:
            ValueError: If something that takes part cannot be hashed.
        """

def hash_value(value: Any, algorithm: str | None = None, root: str = "") -> str:
    """Return the key of a value; ``root`` is what errors call it.

    Raises:
        HashError: If a part of it cannot be hashed.
        ValueError: If the algorithm is neither ``"xxh3"``, the default, nor ``"blake3"``.
    """

def hash_inputs(
    inputs: dict[str, Any], exclude: list[str] | None = None, algorithm: str | None = None
) -> str:
    """Return the key of arguments by name: `hash_objects(inputs)` without the names left out."""

@final
class Envelope:
    """A verified record of a result."""

    @property
    def key(self) -> str:
        """The key it belongs to."""

    @property
    def codec(self) -> int:
        """What reads the payload: 0 a serializer, 1 plain values, 2 pickle, 3 nothing."""

    @property
    def is_signed(self) -> bool:
        """Whether a key of this user has signed it."""

    @property
    def is_apart(self) -> bool:
        """Whether the value is stored elsewhere, and the payload is its digest."""

    @property
    def created(self) -> int:
        """When it was written: Unix time in nanoseconds."""

    @property
    def expires(self) -> int | None:
        """From when on it no longer counts, in nanoseconds."""

    @property
    def took_seconds(self) -> float | None:
        """How long the value took to compute, if the core has measured it."""

    @property
    def metadata(self) -> bytes:
        """What names the serializer, if one has written the payload."""

    @property
    def payload(self) -> bytes:
        """The value as bytes."""

    def describes(self, value: bytes) -> bool:
        """Tell whether ``value`` is the one that is stored elsewhere."""

    def value(self) -> Any:
        """Return the value; raises `CorruptRecordError` if it may not be read."""

def open_record(record: bytes, key: str | None, keys: list[bytes]) -> Envelope:
    """Verify a record; raises `CorruptRecordError` or `NewerRecordError`."""

def seal_record(
    key: str,
    metadata: bytes,
    payload: bytes,
    keys: list[bytes] | None = None,
    expires: int | None = None,
    apart: bool = False,
    raw: bool = False,
) -> bytes:
    """Write a record whose payload is made; signed if there are keys."""

def seal_value(key: str, value: Any, keys: list[bytes], expires: int | None = None) -> bytes:
    """Write a record of any value, which is pickled if it is not plain."""

@final
class StagedResult:
    """A record that is written to a pack and that nobody sees."""

    def discard(self) -> None:
        """Drop it, if it has not been published."""

@final
class Pack:
    """Results in one folder, for many threads and processes. Times are in nanoseconds.

    What fails raises `ResultStoreError`.
    """

    def __new__(
        cls,
        path: str,
        read_keys: Callable[[], list[bytes]],
        *,
        max_bytes: int | None = None,
        max_age: int | None = None,
        durable: bool = False,
        max_inline: int = 32768,
        memory_records: int = 131072,
        memory_bytes: int = 67108864,
    ) -> Self: ...
    @property
    def path(self) -> str:
        """The folder."""

    def lookup(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or ``default``; about what is damaged there is one warning."""

    def keep(self, key: str, value: Any, expires: int | None = None) -> None:
        """Store a value; raises `SerializationError` if it cannot be written."""

    def read(self, key: str) -> Envelope | None:
        """Return the verified record of a key, even if it has expired.

        Raises `CorruptRecordError` or `NewerRecordError`.
        """

    def raw(self, key: str) -> bytes | None:
        """Return the record of a key as it is stored."""

    def contains(self, key: str) -> bool:
        """Tell whether there is a record that counts."""

    def put(self, key: str, sealed: bytes) -> None:
        """Store a record."""

    def stage(self, key: str, sealed: bytes) -> StagedResult:
        """Write a record so that only its publication is left to do."""

    def publish(self, staged: list[StagedResult]) -> None:
        """Make records visible, all of them at once or none."""

    def delete(self, key: str) -> bool:
        """Remove a record, and tell whether there was one."""

    def ls(self, prefix: str = "") -> list[dict[str, Any]]:
        """List the records whose key begins with ``prefix``: key, size, expires, used."""

    def stats(self) -> dict[str, int]:
        """Count records, bytes, files, and hits and misses of this process."""

    def prune(self) -> dict[str, int]:
        """Remove what has expired, is over a limit, or belongs to nobody."""

    def verify(self) -> dict[str, int]:
        """Read all records and put aside those that are damaged."""

def pause_packs() -> None:
    """Close all connections to databases: called before a fork."""

def resume_packs() -> None:
    """Let them be opened again: called after a fork in the parent."""

def resume_packs_in_child() -> None:
    """Let them be opened again: called after a fork in the child."""

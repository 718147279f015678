"""The libraries that do the work of `workloads.py`, one module each, under short names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from workloads import Load


class Peer:
    """A library that can do some of the works.

    A subclass has one method for each work it can do, named like the work. It takes a `Load`,
    makes the input, and returns a function without arguments that does the work and returns the
    answer. That function can be called again; only its calls are timed.
    """

    def work(self, name: str, load: Load) -> Callable[[], Any] | None:
        """Return the function that does the work, or None if this library has no means for it."""
        method = getattr(self, name, None)
        return None if method is None else method(load)

    def inside(self, name: str, body: Callable[[], Any]) -> Any:
        """Call ``body`` where this library wants work to be done (in a flow, for some)."""
        del name
        return body()

    def answer(self, name: str, result: Any) -> Any:
        """Turn what the work returned into what is checked; not timed."""
        del name
        return result


# Name (as in --peers), column heading, module, class and its arguments.
PEERS = {
    "plain": ("plain loop", "plain", "Plain", ()),
    "native": ("native floor", "native", "Native", ()),
    "oxtask": ("oxtask", "flows", "Flows", ("oxtask",)),
    "pool": ("concurrent futures", "pool", "Pool", ()),
    "joblib": ("joblib", "joblib_threads", "Joblib", ()),
    "dask": ("Dask", "dask_threads", "Dask", ()),
    "gather": ("asyncio gather", "gather", "Gather", ()),
    "prefect": ("Prefect", "flows", "Flows", ("prefect",)),
}


def load_peer(name: str, **options: Any) -> Peer:
    """Import a peer.

    Args:
        name: A key of `PEERS`.
        options: More arguments for its class.

    Raises:
        ImportError: If its library is not installed.
    """
    _, module, cls, arguments = PEERS[name]
    return getattr(import_module(f"peers.{module}"), cls)(*arguments, **options)

"""The lines of the table: what each says about the samples, and what it must not exceed."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from peers import PEERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness import Sample

# Samples by row, then by peer.
Samples = dict[str, "dict[str, Sample]"]

MEGABYTE = 1 << 20
# A plain loop that varies by more than this between rounds has not been alone on its processor.
UNREST = 1.5


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        title: What was done.
        rows: The rows it needs, as in --rows.
        value: Takes samples and a peer; returns the figure, or None if there is none.
        unit: What the figure is in.
        target: The most that oxtask may have; None for a line that only informs.
    """

    title: str
    rows: tuple[str, ...]
    value: Callable[[Samples, str], float | None]
    unit: str
    target: float | None


def _sample(samples: Samples, row: str, peer: str) -> Sample | None:
    return samples.get(row, {}).get(peer)


def _per_item(samples: Samples, row: str, peer: str) -> float | None:
    sample = _sample(samples, row, peer)
    return sample.per_item if sample and not sample.error else None


def _ratio(value: float | None, unit: float | None) -> float | None:
    return value / unit if value is not None and unit else None


def plain_calls(title: str, row: str, target: float | None) -> Line:
    """Cost per item in units of what the plain loop needs for one in the same run."""

    def value(samples, peer):
        return _ratio(_per_item(samples, row, peer), _per_item(samples, row, "plain"))

    return Line(title, (row,), value, "calls", target)


def against(title: str, row: str, other: str, target: float) -> Line:
    """Cost per item relative to another peer's."""

    def value(samples, peer):
        if peer != "oxtask":
            return None
        return _ratio(_per_item(samples, row, peer), _per_item(samples, row, other))

    return Line(title, (row,), value, "times", target)


def growth(title: str, small: str, large: str, target: float) -> Line:
    """Cost per item at the large size relative to the small one."""

    def value(samples, peer):
        if peer not in {"plain", "oxtask"}:
            return None
        return _ratio(_per_item(samples, large, peer), _per_item(samples, small, peer))

    return Line(title, (small, large), value, "times", target)


def wall_time(title: str, row: str, target: float) -> Line:
    """Seconds for all items; for fewer items, as much as all would have taken."""

    def value(samples, peer):
        sample = _sample(samples, row, peer)
        cost = _per_item(samples, row, peer)
        return None if cost is None else cost * sample.full

    return Line(title, (row,), value, "s", target)


def memory(title: str, row: str, unit: str, target: float) -> Line:
    """Bytes per item, or megabytes in all."""

    def value(samples, peer):
        sample = _sample(samples, row, peer)
        if sample is None or sample.error or sample.bytes is None:
            return None
        return sample.bytes / (sample.count if unit == "B" else MEGABYTE)

    return Line(title, (row,), value, unit, target)


def _import_time(samples: Samples, peer: str) -> float | None:
    seconds, bare = _per_item(samples, "import", peer), _per_item(samples, "import", "plain")
    return None if seconds is None or bare is None or peer == "plain" else 1000 * (seconds - bare)


LINES = (
    plain_calls("map, 1 M runs, all results read", "map", 10),
    against("  the same, of ThreadPoolExecutor.map", "map", "pool", 1 / 20),
    growth("  the same, 1 M against 10 k, per item", "map_10k", "map", 1.3),
    plain_calls("direct call in a flow, 200 k", "call", 20),
    growth("  the same, 1 M against 10 k, per item", "call_10k", "call_1m", 1.3),
    plain_calls("independent submits, then results, 100 k", "submit", 35),
    growth("  the same, 1 M against 10 k, per item", "submit_10k", "submit_1m", 1.3),
    plain_calls("submit(x).result(), one at a time, 20 k", "round_trip", None),
    plain_calls("chain of dependent submits, 100 k", "chain", 45),
    growth("  the same, 1 M against 10 k, per link", "chain_10k", "chain_1m", 1.3),
    plain_calls("map of an async task, no suspension, 200 k", "async_map", 20),
    against("map of `await sleep(0)`, 100 k, of gather", "async_yield", "gather", 1.2),
    plain_calls("  the same, in plain calls", "async_yield", None),
    plain_calls("tree of submits, 1 M leaves, fan-in 10, a node", "tree", 45),
    plain_calls("  the same, leaves mapped, a node", "tree_mapped", None),
    wall_time("1,000 tasks sleep 1 s, default runner", "sleepers", 1.3),
    wall_time("10,000 fail once, retry after 1 s, 2 workers", "retries", 1.5),
    memory("memory a mapped run holds", "memory", "B", 120),
    plain_calls("stream over 10 M integers", "stream", 15),
    memory("  the same, growth of the process", "stream", "MB", 64),
    Line("import flow and task, over a bare start", ("import",), _import_time, "ms", 45),
)


def number(value: float) -> str:
    """Return a figure with two or three digits that mean something."""
    if value >= 10_000:
        return f"{value / 1000:,.0f} k"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def cell(line: Line, samples: Samples, peer: str) -> str:
    """Return what stands in the table for one peer."""
    known = [sample for row in line.rows if (sample := _sample(samples, row, peer))]
    if any(sample.error for sample in known):
        return "error"
    value = line.value(samples, peer)
    if value is None:
        return ""
    return ("~" if any(sample.scaled for sample in known) else "") + number(value)


def answer(line: Line, samples: Samples, peer: str) -> str:
    """Return what stands in the table of a quick run, where figures would mean nothing."""
    text = cell(line, samples, peer)
    return text if text in {"", "error"} else "right"


def verdict(line: Line, samples: Samples) -> str:
    """Return "ok", "missed", or nothing where there is no target or no figure."""
    value = line.value(samples, "oxtask")
    if line.target is None or value is None:
        return ""
    return "ok" if value <= line.target else "missed"


def target(line: Line) -> str:
    """Return the target with its unit."""
    return f"{number(line.target)} {line.unit}" if line.target is not None else f"- {line.unit}"


def unit_cost(line: Line, samples: Samples) -> str:
    """Return what the plain loop needs for one item, in nanoseconds."""
    cost = _per_item(samples, line.rows[0], "plain")
    if line.unit == "times":
        return cell(line, samples, "plain")
    return f"{cost * 1e9:.0f} ns" if line.unit == "calls" and cost else ""


def lines_for(samples: Samples) -> list[Line]:
    """Return the lines that all needed rows were measured for."""
    return [line for line in LINES if all(row in samples for row in line.rows)]


def errors(samples: Samples) -> list[str]:
    """Return what went wrong, one line each."""
    return [
        f"{row}, {PEERS[peer][0]}: {sample.error}"
        for row, by_peer in samples.items()
        for peer, sample in by_peer.items()
        if sample.error
    ]


def fewer(samples: Samples) -> list[str]:
    """Say, by peer, which rows were measured on how many items."""
    notes = []
    for peer, (label, *_) in PEERS.items():
        scaled = [
            f"{row} {sample.count:,}"
            for row, by_peer in samples.items()
            if (sample := by_peer.get(peer)) and sample.scaled and not sample.error
        ]
        if scaled:
            notes.append(f"~ {label}: measured per item on fewer items: {', '.join(scaled)}")
    return notes


def unrest(samples: Samples) -> list[str]:
    """Say where the plain loop itself was not steady: other work took the processors."""
    uneven = [
        f"{row} {max(sample.seconds) / min(sample.seconds):.1f}"
        for row, by_peer in samples.items()
        if (sample := by_peer.get("plain")) and len(sample.seconds) > 1
        if max(sample.seconds) > UNREST * min(sample.seconds)
    ]
    if not uneven:
        return []
    return [f"busy machine, judge with care: slowest plain loop over fastest: {', '.join(uneven)}"]


def _installed(name: str) -> str | None:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return None


def machine(distributions: tuple[str, ...]) -> list[str]:
    """Describe the machine, the interpreter and the versions, one line each."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    load = f", load {os.getloadavg()[0]:.2f} at the start" if hasattr(os, "getloadavg") else ""
    interpreter = f"{platform.python_implementation()} {platform.python_version()}"
    switch = f"switch interval {sys.getswitchinterval() * 1000:g} ms"
    return [
        f"{model}, {os.cpu_count()} processors, {platform.system()} {platform.release()}{load}",
        f"{interpreter} ({platform.python_compiler()}), {switch}",
        ", ".join(found for name in distributions if (found := _installed(name))),
    ]

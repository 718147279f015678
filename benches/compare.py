"""The same work on oxtask, a plain loop and its peers, side by side in one run.

    python benches/compare.py                         everything, about five minutes
    python benches/compare.py --rows map chain        some rows
    python benches/compare.py --quick                 small sizes: are all answers right?
    python benches/compare.py --prefect-python PATH   with Prefect, from its own environment

Prints one table of ratios to a plain Python loop that calls the same function. Ends with status 1
if an answer is wrong or oxtask fails; a missed target is shown, and is no failure.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import report
from harness import Job, Sample, describe, import_seconds, measure, run_isolated, take_turns
from peers import PEERS, load_peer
from peers.native import PARTS
from rich import box
from rich.console import Console
from rich.table import Table
from workloads import BY_NAME, ROWS

IMPORTS = {
    "plain": "pass",
    "oxtask": "from oxtask import flow, task",
    "pool": "from concurrent.futures import ThreadPoolExecutor",
    "joblib": "from joblib import Parallel, delayed",
    "dask": "from dask import delayed",
    "gather": "import asyncio",
    "prefect": "from prefect import flow, task",
}

# No console lines, no telemetry: Prefect's figures are those of its engine.
PREFECT_ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}

# Retries need a flow of their own, which only a fresh server starts at once. Memory is measured
# before the other works free any that would be used again. So many sleepers keep the server busy.
PREFECT_ORDER = {"retries": 0, "memory": 1, "sleepers": 3}

# For a file or a pipe: as wide as the table is with everybody in it.
TABLE_WIDTH = 150

DISTRIBUTIONS = ("oxtask", "joblib", "dask", "prefect")


def arguments() -> argparse.Namespace:
    names = [*BY_NAME, "import"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, answers only")
    parser.add_argument("--rows", nargs="+", metavar="NAME", choices=names, help=", ".join(names))
    parser.add_argument("--peers", nargs="+", metavar="NAME", choices=PEERS, help=", ".join(PEERS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements there")
    parser.add_argument("--prefect-python", metavar="PATH", help="interpreter that has Prefect")
    return parser.parse_args()


class Run:
    """One run of the comparison: who takes part, and what was measured so far."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self.quick = options.quick
        self.console = console
        self.samples: report.Samples = {}
        self.notes: list[str] = []
        # Absolute, but a link stays a link: that is how an interpreter finds its environment.
        given = options.prefect_python
        self.prefect_python = str(Path(given).absolute()) if given else None
        wanted = list(options.peers or PEERS)
        if "prefect" in wanted and not self.prefect_python and importlib.util.find_spec("prefect"):
            self.prefect_python = sys.executable
        self.with_prefect = "prefect" in wanted and self.prefect_python is not None
        # Always there: it is the unit.
        self.peers = self._load(dict.fromkeys(["plain", *wanted]))
        chosen = set(options.rows or [*BY_NAME, "import"])
        self.rows = [row for row in ROWS if row.name in chosen]
        self.with_import = "import" in chosen

    def _load(self, names):
        peers = {}
        for name in names:
            if name == "prefect":
                continue
            try:
                peers[name] = load_peer(name, **({"may_build": False} if self._lean(name) else {}))
            except ImportError as error:
                if name == "oxtask":
                    raise SystemExit(f"oxtask cannot be imported here: {error}") from error
                self.notes.append(f"{PEERS[name][0]} takes no part: {describe(error)}")
        # What the libraries hold must not weigh on the collections of those measured after them.
        gc.collect()
        gc.freeze()
        return peers

    def _lean(self, name):
        return name == "native" and self.quick

    def say(self, text: str) -> None:
        self.console.print(f"[dim]{time.strftime('%H:%M:%S')} {text}[/dim]", highlight=False)

    def measure(self) -> None:
        for row in self.rows:
            self.say(row.name)
            if row.kind == "time":
                self.samples[row.name] = take_turns(row, self.peers, quick=self.quick)
            else:
                self.samples[row.name] = self._isolated(row)
        if "native" in self.peers and "map" in self.samples:
            self._floor_parts()
        if self.with_prefect:
            self._prefect()
        if self.with_import:
            self._imports()

    def _isolated(self, row):
        samples = {}
        for name in self.peers:
            rounds = row.rounds if name in {"plain", "oxtask"} else row.peer_rounds
            job = Job.of(row, name, quick=self.quick, rounds=rounds)
            if sample := run_isolated(name, [job]).get(row.name):
                samples[name] = sample
        return samples

    def _floor_parts(self):
        """Note what each part of the native floor costs beyond the call."""
        native, row = self.peers["native"], BY_NAME["map"]
        load = row.load("native", quick=self.quick)
        best = {}
        for _ in range(1 if self.quick else 3):
            for parts in ((), *((part,) for part in PARTS), PARTS):
                variant = _Variant(native, parts)
                seconds = measure(variant, "map", load) / load.count
                best[parts] = min(seconds, best.get(parts, seconds))
        unit = self.samples["map"]["plain"].per_item
        call = best.pop(())
        costs = [f"call {call / unit:.1f}"]
        costs += [f"{'+'.join(p)} {(s - call) / unit:.1f}" for p, s in best.items() if len(p) == 1]
        self.notes.append(
            f"native floor in plain calls: {', '.join(costs)}; together {best[PARTS] / unit:.1f}"
        )

    def _prefect(self):
        """Run Prefect's rows in one process, after the others: its server stays busy meanwhile."""
        self.say("prefect")
        rows = [row for row in self.rows if not row.peers and row.kind != "stream"]
        rows.sort(key=lambda row: PREFECT_ORDER.get(row.name, 2))
        jobs = [
            Job.of(row, "prefect", quick=self.quick, rounds=min(2, row.peer_rounds)) for row in rows
        ]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            got = run_isolated(
                "prefect",
                jobs,
                python=self.prefect_python,
                environment=PREFECT_ENVIRONMENT | {"PREFECT_HOME": home},
                timeout=300,
            )
        for name, sample in got.items():
            self.samples[name]["prefect"] = sample

    def _imports(self):
        self.say("import")
        statements = {
            name: (sys.executable, statement)
            for name, statement in IMPORTS.items()
            if name in self.peers
        }
        rounds = 1 if self.quick else 15
        seconds = import_seconds(statements, rounds)
        if self.with_prefect:
            other = {
                "bare": (self.prefect_python, "pass"),
                "prefect": (self.prefect_python, IMPORTS["prefect"]),
            }
            found = import_seconds(other, min(rounds, 4))
            if len(found) == 2:
                # Over its own interpreter's bare start.
                seconds["prefect"] = found["prefect"] - found["bare"] + seconds["plain"]
        self.samples["import"] = {
            name: Sample(count=1, full=1, seconds=[value]) for name, value in seconds.items()
        }


class _Variant:
    """The native floor with some of its parts."""

    def __init__(self, native, parts):
        self.native, self.parts = native, parts
        self.inside, self.answer = native.inside, native.answer

    def work(self, name, load):
        del name
        return self.native.map(load, self.parts)


def table(run: Run) -> Table:
    """Return the table of everything measured."""
    shown = [name for name in PEERS if name in run.peers and name not in {"plain", "oxtask"}]
    shown += ["prefect"] if run.with_prefect else []
    result = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    result.add_column("work", no_wrap=True)
    for heading in ("plain loop", "oxtask", "target"):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("verdict", no_wrap=True)
    for name in shown:
        result.add_column(PEERS[name][0].replace(" ", "\n"), justify="right", no_wrap=True)
    cell = report.answer if run.quick else report.cell
    for line in report.lines_for(run.samples):
        verdict = "" if run.quick else report.verdict(line, run.samples)
        style = {"ok": "green", "missed": "bold red"}.get(verdict, "")
        result.add_row(
            line.title,
            "" if run.quick else report.unit_cost(line, run.samples),
            cell(line, run.samples, "oxtask"),
            "" if run.quick else report.target(line),
            f"[{style}]{verdict}[/{style}]" if style else "",
            *(cell(line, run.samples, name) for name in shown),
        )
    return result


def main() -> int:
    options = arguments()
    console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    begin = time.perf_counter()
    description = report.machine(DISTRIBUTIONS)
    run = Run(options, console)
    run.measure()
    console.print(table(run))
    notes = [*run.notes, *report.unrest(run.samples), *report.fewer(run.samples)]
    for text in [*description, *notes]:
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    failures = report.errors(run.samples)
    for text in failures:
        console.print(f"FAILED {text}", style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{time.perf_counter() - begin:.0f} s in all", highlight=False)
    if options.json:
        data = {
            "machine": description,
            "notes": notes,
            "samples": {
                row: {peer: asdict(sample) for peer, sample in by_peer.items()}
                for row, by_peer in run.samples.items()
            },
        }
        options.json.write_text(json.dumps(data, indent=1))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

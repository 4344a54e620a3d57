"""Time several programs in turn, so that a busy moment of the machine hits all of them alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "15"))


@dataclass(frozen=True, slots=True)
class Program:
    """Name one program: Python code that is run in a process of its own."""

    name: str
    code: str


@dataclass(frozen=True, slots=True)
class Row:
    """Hold the median of one program, in seconds from its start to its end."""

    name: str
    seconds: float


def measure(
    programs: Sequence[Program], *, environment: Mapping[str, str] | None = None
) -> list[Row]:
    """Run each program once to warm the caches, then in turn, and return the medians."""
    for program in programs:
        _run(program, environment)
    times: dict[str, list[float]] = {program.name: [] for program in programs}
    for _ in range(ROUNDS):
        for program in programs:
            times[program.name].append(_run(program, environment))
    return [Row(program.name, statistics.median(times[program.name])) for program in programs]


def print_table(title: str, rows: Sequence[Row], *, beside: str) -> None:
    """Print the rows with their ratio to the named one."""
    base = next(row.seconds for row in rows if row.name == beside)
    print(f"\n{title} (median of {ROUNDS} interleaved runs; times depend on the machine)\n")
    for row in rows:
        print(f"  {row.name:<44} {row.seconds * 1000:8.1f} ms   {row.seconds / base:6.2f}x")


def _run(program: Program, environment: Mapping[str, str] | None) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", program.code],
        check=True,
        env=None if environment is None else dict(environment),
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start

"""Time several programs in turn, so that load on the machine affects all of them alike."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.tables import Kind, Row

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "15"))
NOTE = f"median of {ROUNDS} interleaved runs"


class Program(NamedTuple):
    """Name one program and the command that runs it in a separate process."""

    name: str
    kind: Kind
    command: Sequence[str]
    # What makes its input anew before each run; not timed.
    before: Callable[[], object] | None = None


class Run(NamedTuple):
    """Hold the time of one run to its end: seconds by the clock, and of the processor.

    ``first_output`` is the time by the clock until it wrote something, or ended.
    """

    seconds: float
    processor: float
    first_output: float


def python(name: str, kind: Kind, code: str) -> Program:
    """Return the program that runs Python code with this interpreter."""
    return Program(name, kind, (sys.executable, "-c", code))


def measure(programs: Sequence[Program], *, rounds: int = ROUNDS) -> list[Row]:
    """Run each program to warm the caches, then in turn, and return the medians.

    The first program is the one whose processor time the others' is a ratio to.
    """
    peaks, medians = _medians(programs, rounds)
    return [
        Row(
            program.name,
            program.kind,
            median.seconds * 1000,
            {
                "ms processor": f"{median.processor * 1000:.0f}",
                "x processor": f"{median.processor / medians[0].processor:.2f}",
                "MB peak": f"{peak:.0f}",
            },
        )
        for program, median, peak in zip(programs, medians, peaks, strict=True)
    ]


def measure_first_output(programs: Sequence[Program], *, rounds: int = ROUNDS) -> list[Row]:
    """Do as :func:`measure`, but compare the time until each program wrote something.

    The end of an interpreter, which frees all that was imported, is told beside it.
    """
    peaks, medians = _medians(programs, rounds)
    return [
        Row(
            program.name,
            program.kind,
            median.first_output * 1000,
            {
                "ms to the end": f"{median.seconds * 1000:.0f}",
                "x to the end": f"{median.seconds / medians[0].seconds:.2f}",
                "MB peak": f"{peak:.0f}",
            },
        )
        for program, median, peak in zip(programs, medians, peaks, strict=True)
    ]


def _medians(programs: Sequence[Program], rounds: int) -> tuple[list[float], list[Run]]:
    peaks = [_peak_mb(program) for program in programs if run(program)]
    runs: list[list[Run]] = [[] for _ in programs]
    for _ in range(rounds):
        for place, program in enumerate(programs):
            runs[place].append(run(program))
    return peaks, [Run(*map(statistics.median, zip(*each, strict=True))) for each in runs]


def run(program: Program) -> Run:
    """Run a program once and return its time."""
    if program.before is not None:
        program.before()
    start = time.perf_counter()
    process = subprocess.Popen(
        program.command,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 1)
    first_output = time.perf_counter() - start
    # Nothing fills a pipe: the programs print a few lines, or a traceback.
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    with process:
        if process.returncode != 0:
            assert process.stderr is not None
            raise RuntimeError(f"{program.name} failed: {process.stderr.read().decode()[-2000:]}")
    return Run(seconds, used.ru_utime + used.ru_stime, first_output)


def _peak_mb(program: Program) -> float:
    if program.before is not None:
        program.before()
    launcher = (sys.executable, "-I", "-S", "-c", _LAUNCHER, *program.command)
    done = subprocess.run(launcher, env=child_environment(), capture_output=True, check=True)
    return int(done.stdout) / _RSS_UNITS_PER_MB


def own_peak_mb() -> float:
    """Return the peak memory of this process in MB, without what it was forked from."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _RSS_UNITS_PER_MB
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def child_environment() -> Mapping[str, str]:
    """Return an environment in which Python stores the bytecode of imports.

    An installed package has its bytecode; a checkout in which none may be written would be
    compiled at every start.
    """
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


_RSS_UNITS_PER_MB = 1024**2 if sys.platform == "darwin" else 1024
# A process inherits the peak of the one that started it, so a small one starts the program.
_LAUNCHER = """
import os, sys
out = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=out)
print(os.wait4(pid, 0)[2].ru_maxrss)
"""

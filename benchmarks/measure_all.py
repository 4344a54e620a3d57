"""Run the benchmarks and update the plots and tables of the documentation.

``python -m benchmarks.measure_all [PART ...]`` runs all of them, or the named ones, and writes what
they measured to ``benchmarks/results``. A part that fails keeps its old results, and the others
run. ``--print`` prints only; ``--report`` measures nothing and makes plots and tables from the
results that are there.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks import report
from benchmarks.interleaved import child_environment

HERE = Path(__file__).parent
# Part -> its program and arguments. All of them together take at most 20 minutes on a quiet machine
# of two cores.
PARTS: Mapping[str, tuple[str, ...]] = {
    "cold_start": ("cold_start.py",),
    "sdk_layers": ("sdk_layers.py",),
    "storages": ("storages.py",),
    "key_service_calls": ("key_service_calls.py",),
    "imports": ("imports.py",),
    "commands": ("commands.py",),
    "growth": ("growth.py",),
    "engine": ("engine.py",),
    "fleet": ("fleet.py",),
    "server_load": ("server_load.py",),
    "server_stop": ("server_stop.py",),
    "make_targets": ("make_targets.py", "demo", "test-quick"),
    "make_test": ("make_targets.py", "test"),
}
# Part -> its rounds, where the usual number takes too long.
ROUNDS = {"cold_start": 11, "sdk_layers": 7, "storages": 7, "commands": 11}
# Run only when they are named.
NAMED_ONLY = frozenset({"make_test"})


def main(arguments: list[str]) -> None:
    """Run the requested parts; end with status 1 if one of them failed."""
    names = [each for each in arguments if not each.startswith("--")]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"unknown part {unknown[0]!r}: one of {', '.join(PARTS)}")
    failed = []
    if "--report" not in arguments:
        writes = "--print" not in arguments
        chosen = names or [name for name in PARTS if name not in NAMED_ONLY]
        failed = [name for name in chosen if not _run(name, write=writes)]
    if "--print" not in arguments:
        report.write()
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _run(name: str, *, write: bool) -> bool:
    print(f"\n== {name}", flush=True)
    program, *arguments = PARTS[name]
    command = [sys.executable, str(HERE / program), *arguments]
    if write:
        report.RESULTS.mkdir(exist_ok=True)
        command += ["--json", str(report.RESULTS / f"{name}.json")]
    environment = dict(child_environment())
    if name in ROUNDS:
        environment.setdefault("BENCH_ROUNDS", str(ROUNDS[name]))
    start = time.monotonic()
    done = subprocess.run(command, check=False, env=environment)
    print(f"== {name}: {time.monotonic() - start:.0f} s", flush=True)
    if write and done.returncode == 0:
        report.MACHINE.write_text(json.dumps({"date": _today(), "machine": _machine()}) + "\n")
    return done.returncode == 0


def _today() -> str:
    return dt.datetime.now(tz=dt.UTC).date().isoformat()


def _machine() -> str:
    version = ".".join(platform.python_version_tuple()[:2])
    processor = platform.machine().replace("x86_64", "x86-64")
    return f"{os.cpu_count()} cores, {processor} {platform.system()}, Python {version}"


if __name__ == "__main__":
    main(sys.argv[1:])

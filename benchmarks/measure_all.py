"""Run the benchmarks and update the plots and tables of the documentation.

``measure_all.py [NAME ...]`` runs all of them, or the named ones, and writes what they measured to
``benchmarks/results``. ``--print`` prints only; ``--report`` measures nothing and makes plots and
tables from the results that are there.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.interleaved import child_environment

HERE = Path(__file__).parent
BENCHMARKS = (
    *("cold_start", "sdk_layers", "storages", "key_service_calls", "imports", "commands"),
    *("engine", "fleet", "server_load"),
)


def main(arguments: list[str]) -> None:
    """Run the requested benchmarks."""
    names = [each for each in arguments if not each.startswith("--")] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]!r}: one of {', '.join(BENCHMARKS)}")
    if "--report" not in arguments:
        for name in names:
            _run(name, write="--print" not in arguments)
    if "--print" not in arguments:
        report.write()


def _run(name: str, *, write: bool) -> None:
    print(f"\n== {name}", flush=True)
    command = [sys.executable, str(HERE / f"{name}.py")]
    if write:
        report.RESULTS.mkdir(exist_ok=True)
        command += ["--json", str(report.RESULTS / f"{name}.json")]
    subprocess.run(command, check=True, env=dict(child_environment()))
    if write:
        report.MACHINE.write_text(json.dumps({"date": _today(), "machine": _machine()}) + "\n")


def _today() -> str:
    return dt.datetime.now(tz=dt.UTC).date().isoformat()


def _machine() -> str:
    version = ".".join(platform.python_version_tuple()[:2])
    processor = platform.machine().replace("x86_64", "x86-64")
    return f"{os.cpu_count()} cores, {processor} {platform.system()}, Python {version}"


if __name__ == "__main__":
    main(sys.argv[1:])

"""Print how long targets of the Makefile take after installation.

Run ``python -m benchmarks.make_targets TARGET ...``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.interleaved import child_environment
from benchmarks.tables import Row, Table, publish, words

ROOT = Path(__file__).parents[1]
# As make itself names it: the scripts expect a path below the folder of the sources.
ENVIRONMENT = os.path.relpath(sys.prefix, ROOT)
# Target -> the file that says that what it needs is installed.
STAMPS = {"demo": "demo.stamp", "test": "test.stamp", "test-quick": "quick.stamp"}


def tables(targets: Sequence[str]) -> Iterator[Table]:
    """Return the table of the targets; each runs once."""
    rows = []
    for target in targets:
        make(f"{ENVIRONMENT}/{STAMPS[target]}")
        rows.append(Row(f"make {target}", "ours", make(target)))
    yield Table("make-targets", "Make", "s", rows)


def make(target: str) -> float:
    """Run a target with this interpreter's environment and return the seconds it took."""
    start = time.perf_counter()
    done = subprocess.run(
        ["make", f"VENV={ENVIRONMENT}", target],
        cwd=ROOT,
        env=dict(child_environment()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"make {target} failed:\n{done.stdout[-4000:]}")
    return time.perf_counter() - start


if __name__ == "__main__":
    publish(tables(words(sys.argv[1:])), sys.argv[1:])

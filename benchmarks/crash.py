"""Count the configurations that are lost when a process is killed while it saves.

``crash.py [SERVICE ...]``; ``BENCH_KILLS`` says how many random kills each package gets.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks import crash_packages
from benchmarks.crash_kills import Losses, measure
from benchmarks.services.service import NotMeasuredError

KILLS = int(os.environ.get("BENCH_KILLS", "50"))
SERVICES = {
    "aws-kms": crash_packages.aws_kms,
    "azure-kv": crash_packages.azure_kv,
    "gcp-kms": crash_packages.gcp_kms,
    "oracle-kv": crash_packages.oci_vault,
}


def main(names: list[str]) -> None:
    """Print one line for each package."""
    print(f"\nConfigurations lost by kills while saving ({KILLS} at random moments)\n")
    print(f"  {'':<34} {'random':>10} {'at a call':>12} {'left beside':>12} {'mode':>6}")
    for name in names or SERVICES:
        with tempfile.TemporaryDirectory(prefix="ksm-crash-") as folder:
            try:
                _show(name, Path(folder))
            except NotMeasuredError as exc:
                print(f"  {name}: not measured: {exc}")


def _show(name: str, folder: Path) -> None:
    with SERVICES[name](folder) as packages:
        for package in packages:
            _print(package.name, measure(package, KILLS))


def _print(name: str, losses: Losses) -> None:
    by_chance = f"{losses.random} of {KILLS}"
    at_calls = f"{losses.at_calls} of {losses.calls}" if losses.calls else "not traced"
    print(f"  {name:<34} {by_chance:>10} {at_calls:>12} {losses.left:>12} {losses.mode:>6o}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Print the time from the start of a process to the first value, beside the floor of each kind.

The floor is the least that any program can do that makes the same call: bare Python with AESGCM
for a key file, a minimal script with the vendor's SDK that makes the one decrypt call for a key
service. Ours stands beside it twice where it makes that call itself: as it is, and with the call
made by the vendor's SDK. So does the official storage class. The services are the emulators of this
project on loopback, so that no network time hides the difference.

``python benchmarks/cold_start.py [SERVICE ...]`` measures the named ones; ``--list`` names them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.interleaved import NOTE, measure_first_output
from benchmarks.services.registry import DIRECT, SERVICES, started
from benchmarks.services.service import cold_starts
from benchmarks.tables import Table, publish, words


def main(arguments: list[str]) -> None:
    """Measure and print each table, or the reason why it is missing."""
    names = words(arguments)
    if names == ["--list"]:
        print("\n".join(SERVICES))
        return
    unknown = [name for name in names if name not in SERVICES]
    if unknown:
        sys.exit(f"unknown service {unknown[0]!r}: one of {', '.join(SERVICES)}")
    publish(tables(names or list(SERVICES)), arguments)


def tables(names: Sequence[str]) -> Iterator[Table]:
    """Return a table for each service that can be measured here."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            with started(name, Path(folder)) as found:
                if found is not None:
                    service, floor = found
                    compared = cold_starts(service, floor, Path(folder), direct=name in DIRECT)
                    rows = measure_first_output(compared)
                    yield Table("cold-start", service.title, "ms", rows, rows[0].name, NOTE)


if __name__ == "__main__":
    main(sys.argv[1:])

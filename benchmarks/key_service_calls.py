"""Print the exact number of calls to a key service, ours beside the official class."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.services.registry import CLOUD, started
from benchmarks.services.service import Service
from benchmarks.storages import Subject, subjects, worked
from benchmarks.tables import Row, Table, publish

SETS = 100


def tables() -> Iterator[Table]:
    """Return a table for each service that counts calls."""
    with tempfile.TemporaryDirectory() as folder:
        for name in CLOUD:
            with started(name, Path(folder)) as found:
                if found is not None:
                    service = found[0]
                    rows = [_counted(service, each, Path(folder)) for each in subjects(service)]
                    note = "first bind and first secrets; counted by the emulator"
                    yield Table("key-service-calls", service.title, "calls", rows, None, note)


def _counted(service: Service, subject: Subject, folder: Path) -> Row:
    path = folder / f"{service.provider}-{subject.kind}-calls.json"

    def calls(task: str, count: int) -> int:
        assert service.counted is not None
        service.counted()
        worked(subject, task, count=count, path=path)
        return service.counted().total()

    bound = calls("bind", 1)
    opened = calls("reopen", 1)
    # One process opens the file and sets once more than it counts.
    saved = calls("set", SETS) - calls("set", 0)
    more = {"re-open": str(opened), f"{SETS} set": str(saved)}
    return Row(subject.name, subject.kind, bound, more)


if __name__ == "__main__":
    publish(tables(), sys.argv[1:])

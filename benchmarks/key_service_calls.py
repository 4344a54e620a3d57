"""Print the exact number of calls to a key service, ours beside the official class."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.services.registry import CLOUD, started
from benchmarks.services.service import Service, key_service_calls, sign_in_calls
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

    def calls(task: str, count: int) -> tuple[int, int]:
        assert service.counted is not None
        service.counted()
        worked(subject, task, count=count, path=path)
        counted = service.counted()
        return key_service_calls(counted), sign_in_calls(counted)

    bound, bound_sign_in = calls("bind", 1)
    opened, opened_sign_in = calls("reopen", 1)
    # One process opens the file and sets once more than it counts.
    many, once = calls("set", SETS), calls("set", 0)
    saved, saved_sign_in = (of_many - of_one for of_many, of_one in zip(many, once, strict=True))
    more = {
        "sign-in": str(bound_sign_in),
        "re-open": str(opened),
        "sign-in of re-open": str(opened_sign_in),
        f"{SETS} set": str(saved),
        f"sign-in of {SETS} set": str(saved_sign_in),
    }
    return Row(subject.name, subject.kind, bound, more)


if __name__ == "__main__":
    publish(tables(), sys.argv[1:])

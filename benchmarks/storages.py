"""Print how long ``get``, ``set`` and a first bind take in a running process.

Ours stands beside the official storage class of each key service, and the SDK's own file storage
beside a key file. The Keeper server is one in the same process, and the key services are the
emulators on loopback: what is left is what a storage does. A first bind is from the one-time token
to the first secrets.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.interleaved import ROUNDS, child_environment
from benchmarks.services.registry import CLOUD, started
from benchmarks.services.service import Service
from benchmarks.tables import Kind, Row, Table, publish

# Task -> its title, the unit, how many of them make a second, and how often one process does it.
TASKS = {
    "get": ("get", "us", 1e6, 1000),
    "set": ("set", "ms", 1e3, 20),
    "bind again": ("first bind", "ms", 1e3, 1),
}
_FILE = """
from keeper_secrets_manager_core.storage import FileKeyValueStorage
storage = FileKeyValueStorage(path)
"""
_WORKER = str(Path(__file__).with_name("storage_worker.py"))


class Subject(NamedTuple):
    """Name one storage, with the code that creates it and its imports."""

    name: str
    kind: Kind
    code: str

    @property
    def modules(self) -> str:
        """The modules that the code imports, loaded before the time is taken."""
        lines = self.code.splitlines()
        return ",".join(line.split()[1] for line in lines if line.startswith(("import ", "from ")))


def subjects(service: Service) -> list[Subject]:
    """Return the storages of a service to compare, the official one first."""
    ours = Subject("ksm-storage", "ours", service.ours)
    if service.official is not None:
        return [Subject(service.official_name, "official", service.official), ours]
    if service.provider == "key-file":
        return [Subject("the SDK's FileKeyValueStorage, unsealed", "official", _FILE), ours]
    return [ours]


def worked(subject: Subject, task: str, *, count: int, path: Path) -> float:
    """Run a task in a separate process, and return the seconds of one run."""
    command = (sys.executable, _WORKER, task, str(count), str(path), subject.modules, subject.code)
    done = subprocess.run(
        command, env=dict(child_environment()), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{subject.name}, {task}: {done.stderr[-2000:]}")
    return float(done.stdout.splitlines()[-1])


def tables() -> Iterator[Table]:
    """Return the tables of each service, task by task."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("key-file", *CLOUD):
            with started(name, Path(folder)) as found:
                if found is not None:
                    yield from _measured(found[0], Path(folder) / name)


def _measured(service: Service, folder: Path) -> Iterator[Table]:
    compared = subjects(service)
    for task, (title, unit, scale, count) in TASKS.items():
        times: list[list[float]] = [[] for _ in compared]
        for number in range(ROUNDS):
            for place, subject in enumerate(compared):
                path = _path(folder, subject, task, number)
                times[place].append(worked(subject, task, count=count, path=path) * scale)
        rows = _rows(compared, times)
        note = f"median of {ROUNDS} processes in turn, {count} in each"
        yield Table(
            title.replace(" ", "-"), f"{title}, {service.title}", unit, rows, rows[0].name, note
        )


def _path(folder: Path, subject: Subject, task: str, number: int) -> Path:
    if task == "bind again":
        return folder / f"{subject.kind}-bind-{number}.json"
    path = folder / f"{subject.kind}.json"
    if not path.exists():
        worked(subject, "set", count=1, path=path)
    return path


def _rows(compared: Sequence[Subject], times: Sequence[Sequence[float]]) -> list[Row]:
    return [
        Row(subject.name, subject.kind, statistics.median(taken))
        for subject, taken in zip(compared, times, strict=True)
    ]


if __name__ == "__main__":
    publish(tables(), sys.argv[1:])

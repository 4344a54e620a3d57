"""Full and read-only file systems, limits and missing rights, all of them the system's own."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.errors import StorageError
from tests.faults.operations import OPERATIONS, Operation, left_beside
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, names_in, new_key

operations = pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.__name__.lower())
FULL = ["-t", "tmpfs", "-o", "size=128k", "none"]


@pytest.fixture
def keys(key: str, tmp_path: Path) -> list[str]:
    """Name two key files."""
    return [key, new_key(tmp_path / "keys/second.key")]


def fill(folder: Path) -> Path:
    """Leave no page free on the file system of a folder; return what takes them all."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


def refused(operation: Operation, write: Callable[[], object], cause: str) -> None:
    """Check that a write fails for the cause, and that the old version stands."""
    with pytest.raises(StorageError, match=f"cannot write .*: {cause}") as caught:
        write()

    assert isinstance(caught.value.__cause__, OSError)
    assert operation.version() == "old"
    assert operation.memory() in (None, CONFIG)


@operations
def test_a_full_file_system(kind: type[Operation], folder: Path, keys: list[str]) -> None:
    def work() -> None:
        operation = kind(folder / "config", keys)
        write = operation.begun()
        filler = fill(folder)

        refused(operation, write, "No space left on device")
        assert left_beside(operation) == {filler.name}
        filler.unlink()
        write()

        assert operation.version() == "new"

    assert forked.run_with_mount([*FULL, str(folder)], work) == 0


def test_a_full_file_system_below_a_file_that_is_saved_in_place(
    folder: Path, keys: list[str], tmp_path: Path
) -> None:
    point = tmp_path / "mounted"
    point.touch()

    def work() -> None:
        path = folder / "config"
        ksm_storage.open_storage(path, keys=keys).save_storage(CONFIG)
        assert os.system(f"mount --bind '{path}' '{point}'") == 0
        storage = ksm_storage.open_storage(point)
        before = path.read_bytes()
        filler = fill(folder)

        # The first part of it still fits into the file's last page.
        with pytest.raises(StorageError, match=r"cannot write .*: No space left on device"):
            storage.set("url", "x" * 20_000)
        assert path.read_bytes() == before
        assert storage.read_storage() == ksm_storage.open_storage(point).read_storage() == CONFIG
        filler.unlink()
        storage.set("url", "x" * 20_000)

        assert ksm_storage.open_storage(path).get("url") == "x" * 20_000
        assert names_in(folder) == ["config"]

    assert forked.run_with_mount([*FULL, str(folder)], work) == 0


@operations
@pytest.mark.parametrize("mounted", [False, True], ids=["renamed", "mounted"])
def test_a_limit_on_the_size_of_files(
    kind: type[Operation], mounted: bool, folder: Path, keys: list[str], tmp_path: Path
) -> None:
    path = folder / "config"
    path.touch()
    (tmp_path / "origin").touch()

    def work() -> None:
        operation = kind(path, keys)
        write = operation.begun()
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        refused(operation, write, "File too large")
        assert left_beside(operation) == set()
        assert path.read_bytes() == operation.old
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        write()

        assert operation.version() == "new"

    if mounted:
        bound = ["--bind", str(tmp_path / "origin"), str(path)]
        assert forked.run_with_mount(bound, work) == 0
    else:
        assert forked.run(work) == 0


@operations
def test_a_read_only_file_system(kind: type[Operation], folder: Path, keys: list[str]) -> None:
    operation = kind(folder / "config", keys)

    def work() -> None:
        refused(operation, operation.begun(), "Read-only file system")

    assert forked.run_with_mount(["-o", "bind,ro", str(folder), str(folder)], work) == 0
    assert left_beside(operation) == set()


@forked.root_only
@operations
def test_a_file_that_the_user_may_only_read(kind: type[Operation], shared_folder: Path) -> None:
    (shared_folder / "work").mkdir()
    names = [shared_folder / "first.key", shared_folder / "second.key"]
    operation = kind(shared_folder / "work/config", [new_key(name) for name in names])
    forked.give_to_nobody(*names)
    os.chown(operation.path, 0, forked.NOBODY)

    def work() -> None:
        refused(operation, operation.begun(), "Permission denied")

    # The group may read, and a rename in a folder of its own would do what it may not.
    forked.give_to_nobody(shared_folder / "work")
    assert forked.run_as_nobody(work) == 0
    assert left_beside(operation) == set()
    assert operation.path.read_bytes() == operation.old

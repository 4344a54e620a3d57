"""What a ``get`` and a save ask of the operating system, call by call."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.keys.setting_sources import command_memory
from tests.faults.faulty_os import FaultyOs
from tests.unit.storage.fixtures import new_key, settle

# Taking the lock and reading what the file holds now.
LOCKED = ["open", "flock", "fstat"]
READ = ["open", "fstat", "read", "read", "close"]
WRITTEN = ["open", "write", "stat", "fstat", "listxattr", "fchmod", "fsync", "close"]
RENAMED = ["replace", "open", "fsync", "close", "stat", "stat"]
UNLOCKED = ["flock", "close"]
CHANGING_CALLS = ("open", "write", "fsync", "replace", "unlink")

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems need other calls")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """Count the calls of the storage."""
    return FaultyOs(monkeypatch)


def calls(watched: FaultyOs) -> list[str]:
    # Resolving symbolic links takes an lstat for each folder above the file, and how many those
    # are is up to the path and to the version of Python.
    return [name for name in watched.calls if name != "lstat"]


def test_a_get_is_one_stat(sealed: Path, watched: FaultyOs) -> None:
    settle(sealed)
    storage = ksm_storage.open_storage(sealed)

    with watched.watching():
        for _ in range(100):
            storage.get("hostname")

    assert watched.calls == ["stat"] * 100


@linux
def test_a_get_of_a_file_written_this_moment_reads_it_again(
    sealed: Path, watched: FaultyOs
) -> None:
    storage = ksm_storage.open_storage(sealed)
    os.utime(sealed)

    with watched.watching():
        storage.get("hostname")

    assert calls(watched) == ["stat", *READ]


@linux
def test_a_save_makes_these_calls(sealed: Path, watched: FaultyOs) -> None:
    storage = ksm_storage.open_storage(sealed)

    with watched.watching():
        storage.set("url", "new")

    assert calls(watched) == [*LOCKED, *READ, *WRITTEN, *RENAMED, *UNLOCKED]


@linux
def test_a_set_that_changes_nothing_writes_nothing(sealed: Path, watched: FaultyOs) -> None:
    storage = ksm_storage.open_storage(sealed)

    with watched.watching():
        storage.set("hostname", storage.read_storage()["hostname"])

    assert "write" not in watched.calls
    assert "fsync" not in watched.calls


@linux
def test_a_batch_of_many_changes_is_one_save(sealed: Path, watched: FaultyOs) -> None:
    storage = ksm_storage.open_storage(sealed)

    with watched.watching(), storage.batch():
        for number in range(50):
            storage.set(f"name{number}", "new")

    assert [watched.calls.count(name) for name in ("write", "fsync", "replace")] == [1, 2, 1]


@linux
def test_a_command_that_rewraps_a_file_makes_so_many_calls(
    sealed: Path, tmp_path: Path, watched: FaultyOs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    other = new_key(tmp_path / "other.key")
    with command_memory():
        ksm_storage.open_storage(sealed)

        with watched.watching():
            ksm_storage.rewrap(sealed, add=[other])

    counted = {name: watched.calls.count(name) for name in CHANGING_CALLS}
    # The file: to open it, to lock it, under the lock, and the staged copy. Its record: before the
    # unwrap and after it, to lock it, and under the lock. A key file: at each unwrap and wrap.
    # And to write each of the two, and to sync its folder.
    assert counted == {
        "open": 4 + 4 + 3 + 2 * 2,
        "write": 2,
        "fsync": 2 * 2,
        "replace": 2,
        "unlink": 0,
    }


@linux
def test_the_kernel_counts_one_call_for_each_get(sealed: Path, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: it would count what the wrapper cannot see")
    settle(sealed)

    none, many = (traced(strace, sealed, tmp_path, gets=count) for count in (0, 100))

    assert many - none == 100


def traced(strace: str, path: Path, folder: Path, *, gets: int) -> int:
    """Return how many calls name the file, in a process that reads one value so many times."""
    code = (
        f"import ksm_storage; storage = ksm_storage.open_storage({str(path)!r})\n"
        f"for _ in range({gets}): storage.get('hostname')"
    )
    log = folder / f"strace-{gets}"
    command = [strace, "-f", "-o", str(log), sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    # Without the two of the command line, which name the file too.
    lines = log.read_text().splitlines()
    return sum(str(path) in line and "execve(" not in line for line in lines)

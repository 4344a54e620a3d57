"""A process that saves in a loop is killed at any moment, and disks that are full in truth."""

from __future__ import annotations

import os
import random
import resource
import signal
import stat
import time
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.envelope.codec import decode
from ksm_storage.errors import StorageError
from tests.long_form import LONG_FORM
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, names_in, new_key

# 200 kills in all, or 2,000 in the long form: eight of ten while saving.
KILLS = 800 if LONG_FORM else 80
KILLS_OF_KEY_CHANGES = KILLS // 2
LONGEST_LIFE_SECONDS = 0.012
LONGEST_KEY_CHANGES_SECONDS = 0.1
MODE = 0o640


@pytest.mark.timeout(2400 if LONG_FORM else 300)
@pytest.mark.parametrize("in_place", [False, True], ids=["renamed", "in place"])
def test_a_killed_writer_leaves_what_it_saved_or_was_saving(
    in_place: bool, sealed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_place:
        monkeypatch.setattr(os, "replace", _busy)
    sealed.chmod(MODE)
    number = 0
    for _ in range(KILLS):
        saved = _killed_while_saving(sealed, number)

        # The last save that returned is there, or the one after it that was going on.
        number = int(ksm_storage.open_storage(sealed).get("url") or 0)
        assert saved <= number <= saved + 1
        assert stat.S_IMODE(sealed.stat().st_mode) == MODE
        assert set(names_in(folder)) <= {"client-config.json", ".client-config.json.ksm-tmp"}

    storage = ksm_storage.open_storage(sealed)
    storage.delete("url")

    assert storage.read_storage() == CONFIG
    assert names_in(folder) == ["client-config.json"]
    assert b"\0" not in sealed.read_bytes()


@pytest.mark.timeout(2400 if LONG_FORM else 300)
def test_a_killed_change_of_keys_leaves_a_file_that_each_of_its_keys_opens(
    sealed: Path, folder: Path, key: str, tmp_path: Path
) -> None:
    second = new_key(tmp_path / "keys/second.key")
    sealed.chmod(MODE)

    def change_in_a_loop() -> None:
        while True:
            ksm_storage.rewrap(sealed, add=[second])
            ksm_storage.rekey(sealed)
            ksm_storage.rewrap(sealed, remove=[second])

    revisions = [1]
    for _ in range(KILLS_OF_KEY_CHANGES):
        before = decode(sealed.read_bytes()).header.revision
        process = forked.start(change_in_a_loop)
        while decode(sealed.read_bytes()).header.revision == before:
            os.sched_yield()
        _kill_within(process, LONGEST_KEY_CHANGES_SECONDS)

        header = decode(sealed.read_bytes()).header
        revisions.append(header.revision)
        for recipient in header.recipients:
            storage = ksm_storage.open_storage(sealed, keys=[recipient.key])
            assert storage.read_storage() == CONFIG
        assert stat.S_IMODE(sealed.stat().st_mode) == MODE

    ksm_storage.rewrap(sealed, add=[second])
    ksm_storage.rekey(sealed, add=[key])
    assert ksm_storage.open_storage(sealed, keys=[key]).read_storage() == CONFIG
    assert names_in(folder) == ["client-config.json"]
    assert revisions == sorted(set(revisions))


@pytest.mark.parametrize("in_place", [False, True], ids=["renamed", "in place"])
@pytest.mark.parametrize("limit", [0, 100, 800, 2000])
def test_a_file_that_may_not_grow_stays_as_it_is(
    limit: int, in_place: bool, sealed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sealed.read_bytes()

    def work() -> None:
        if in_place:
            monkeypatch.setattr(os, "replace", _busy)
        storage = ksm_storage.open_storage(sealed)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(StorageError, match="cannot write"):
            storage.set("url", "x" * 3000)

        assert storage.read_storage() == CONFIG

    assert forked.run(work) == 0
    assert sealed.read_bytes() == before
    assert names_in(folder) == ["client-config.json"]


def test_a_full_file_system_keeps_the_old_version(folder: Path, key: str) -> None:
    path = folder / "config"

    def work() -> None:
        storage = ksm_storage.open_storage(path, keys=[key])
        storage.save_storage(CONFIG)
        (folder / "filler").write_bytes(bytes(40_000))
        with pytest.raises(StorageError, match="No space left on device") as caught:
            storage.set("url", "x" * 50_000)

        assert "free some space" in str(caught.value.hint)
        assert names_in(folder) == ["config", "filler"]
        assert ksm_storage.open_storage(path).read_storage() == CONFIG
        (folder / "filler").unlink()
        storage.set("url", "there is space again")

    assert forked.run_with_mount(["-t", "tmpfs", "-o", "size=64k", "none", str(folder)], work) == 0


def test_a_zero_length_file_that_a_save_meets_is_not_taken_for_empty(sealed: Path) -> None:
    storage = ksm_storage.open_storage(sealed)
    sealed.write_bytes(b"")

    with pytest.raises(StorageError, match="is empty"):
        storage.set("url", "u")

    assert sealed.read_bytes() == b""


def _killed_while_saving(path: Path, number: int) -> int:
    """Return the number that the writer saved last before it was killed."""
    reading, writing = os.pipe()

    def save_in_a_loop() -> None:
        storage = ksm_storage.open_storage(path)
        for value in range(number + 1, number + 1_000_000):
            storage.set("url", str(value))
            os.write(writing, value.to_bytes(4, "big"))

    process = forked.start(save_in_a_loop)
    os.close(writing)
    os.read(reading, 4)
    _kill_within(process, LONGEST_LIFE_SECONDS)
    saved = number + 1
    while part := os.read(reading, 4):
        saved = int.from_bytes(part, "big")
    os.close(reading)
    return saved


def _kill_within(process: int, seconds: float) -> None:
    # Any moment may be the one.
    until = time.monotonic() + random.uniform(0, seconds)
    while time.monotonic() < until:
        os.sched_yield()
    os.kill(process, signal.SIGKILL)
    assert forked.status_of(process) == -signal.SIGKILL


def _busy(source: object, target: object) -> None:
    raise OSError(16, "Device or resource busy")

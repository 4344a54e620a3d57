"""A loss of power in a save in place: the disk holds any part of what was not synced."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksm_storage.files import replacement
from ksm_storage.files.reading import settled_content
from ksm_storage.files.replacement import write_in_place

BLOCK = 512
DRAWS = 40

OLD = b"ksm-storage/1\n" + b"old version\n" * 90
VERSIONS = {
    "same length": OLD.replace(b"old", b"new"),
    "shorter": b"ksm-storage/1\nnew\n",
    "longer": b"ksm-storage/1\n" + b"new version\n" * 400,
    "one byte longer": OLD + b"\n",
}

Operation = tuple[str, int, bytes]


class RecordingDisk:
    """Record the writes and truncations between two syncs, while they are really made."""

    def __init__(self, patch: pytest.MonkeyPatch, path: Path) -> None:
        self.path = path
        self.synced = path.read_bytes()
        self.epochs: list[tuple[bytes, list[Operation]]] = []
        self._pending: list[Operation] = []
        self._write, self._truncate = os.write, os.ftruncate
        patch.setattr(os, "write", self._recorded_write)
        patch.setattr(os, "ftruncate", self._recorded_truncate)
        patch.setattr(replacement, "sync_file", self._recorded_sync)

    def _recorded_write(self, descriptor: int, data: bytes) -> int:
        offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        self._pending.append(("write", offset, bytes(data)))
        return self._write(descriptor, data)

    def _recorded_truncate(self, descriptor: int, length: int) -> None:
        self._pending.append(("truncate", length, b""))
        self._truncate(descriptor, length)

    def _recorded_sync(self, descriptor: int) -> None:
        self.epochs.append((self.synced, self._pending))
        self.synced, self._pending = self.path.read_bytes(), []


@pytest.fixture
def draw() -> random.Random:
    """Give the same random numbers in each run."""
    return random.Random(20)


def disks(synced: bytes, pending: list[Operation], draw: random.Random) -> Iterator[bytes]:
    """Yield what the disk may hold: each block of what was not synced is there or not."""
    yield synced
    for _ in range(DRAWS):
        disk = bytearray(synced)
        for kind, offset, data in pending:
            if kind == "truncate":
                if draw.random() < 0.5:
                    del disk[offset:]
                continue
            for start in range(0, len(data), BLOCK):
                if draw.random() < 0.6:
                    part = data[start : start + BLOCK]
                    end = offset + start + len(part)
                    disk.extend(bytes(max(0, end - len(disk))))
                    disk[offset + start : end] = part
        yield bytes(disk)


@pytest.mark.parametrize("new", VERSIONS.values(), ids=list(VERSIONS))
@pytest.mark.parametrize("unfinished", [False, True], ids=["settled", "after a crash"])
def test_the_disk_holds_the_old_version_or_the_new_one(
    new: bytes,
    unfinished: bool,
    folder: Path,
    draw: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = folder / "config"
    # A crash may have left a version that was saved behind one that was not removed yet.
    raw = b"older\n" + bytes(2000) + OLD + replacement._footer(OLD) if unfinished else OLD
    path.write_bytes(raw)
    disk = RecordingDisk(monkeypatch, path)

    descriptor = os.open(path, os.O_RDWR)
    write_in_place(descriptor, raw, new)
    os.close(descriptor)

    assert path.read_bytes() == new
    assert len(disk.epochs) >= 3
    found = [
        settled_content(state)
        for synced, pending in disk.epochs
        for state in disks(synced, pending, draw)
    ]
    assert set(found) == {OLD, new}


@pytest.mark.parametrize("new", VERSIONS.values(), ids=list(VERSIONS))
def test_once_the_journal_is_synced_the_new_version_is_there(
    new: bytes, folder: Path, draw: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "config"
    path.write_bytes(OLD)
    disk = RecordingDisk(monkeypatch, path)

    descriptor = os.open(path, os.O_RDWR)
    write_in_place(descriptor, OLD, new)
    os.close(descriptor)

    later = [state for epoch in disk.epochs[1:] for state in disks(*epoch, draw)]
    assert {settled_content(state) for state in later} == {new}


@pytest.mark.parametrize(
    "raw",
    [b"", b"\0", b"\0\0rest", b"\xff\xff\0\x01", b"text\0", b"text\0\nksm-storage journal x\n"],
)
def test_what_no_save_left_is_not_changed_into_something_else(raw: bytes) -> None:
    settled = settled_content(raw)

    assert settled == (raw.partition(b"\0")[0] if raw.startswith(b"text") else raw)


@pytest.mark.parametrize("size", [0, 3, 5, 99_999])
def test_a_footer_with_a_wrong_length_is_no_journal(size: int) -> None:
    new = b"new!"
    footer = replacement._footer(new).replace(b"0000000004", b"%010d" % size)

    assert settled_content(b"old\0" + new + footer) == b"old"


def test_a_footer_over_another_content_is_no_journal() -> None:
    assert settled_content(b"old\0new?" + replacement._footer(b"new!")) == b"old"

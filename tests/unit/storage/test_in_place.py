"""The bytes of a save in place: what is written where, and which version is read of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksm_storage.files import replacement
from ksm_storage.files.reading import settled_content
from ksm_storage.files.replacement import write_in_place

OLD, NEW = b"the old version\n", b"the new version, which is longer\n"


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "config", os.O_RDWR | os.O_CREAT, 0o600)
    os.write(opened, OLD)
    yield opened
    os.close(opened)


def footer(content: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    return b"\nksm-storage journal %010d %s\n" % (len(content), digest.encode())


def journal(descriptor: int, monkeypatch: pytest.MonkeyPatch, new: bytes) -> bytes:
    """Return what the file holds when the new version is saved and not moved to the start."""
    monkeypatch.setattr(replacement, "_finish", lambda *_: None)
    write_in_place(descriptor, OLD, new)
    return os.pread(descriptor, 1_000_000, 0)


@pytest.mark.parametrize("new", [NEW, b"short\n", b"", b"x" * len(OLD)], ids=len)
def test_the_new_version_lies_behind_both_with_one_nul_between(
    descriptor: int, monkeypatch: pytest.MonkeyPatch, new: bytes
) -> None:
    start = max(len(OLD), len(new)) + 1

    raw = journal(descriptor, monkeypatch, new)

    assert raw == OLD.ljust(start, b"\0") + new + footer(new)
    assert settled_content(raw) == new


@pytest.mark.parametrize("new", [NEW, b"short\n", b"x" * len(OLD)], ids=len)
def test_in_the_end_the_file_holds_the_new_version_alone(descriptor: int, new: bytes) -> None:
    write_in_place(descriptor, OLD, new)

    assert os.pread(descriptor, 1_000_000, 0) == new


def test_an_unfinished_save_is_finished_before_the_next(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = journal(descriptor, monkeypatch, NEW)

    write_in_place(descriptor, raw, b"a third version\n")

    # The second version was moved to the start, and the third lies behind it.
    assert os.pread(descriptor, len(NEW), 0) == NEW
    assert settled_content(os.pread(descriptor, 1_000_000, 0)) == b"a third version\n"


@pytest.mark.parametrize("first", [0x20, 0x7B, 0xFE])
def test_of_text_with_a_broken_journal_the_part_before_it_is_read(first: int) -> None:
    old = bytes([first]) + b"old"

    assert settled_content(old + b"\0\0new" + footer(b"other") + b"\0") == old


@pytest.mark.parametrize("first", [0x00, 0x1F, 0xFF])
def test_a_binary_file_is_not_cut_at_its_first_nul(first: int) -> None:
    raw = bytes([first]) + b"a\0b"

    assert settled_content(raw) == raw


def test_a_journal_that_is_longer_than_the_file_is_none() -> None:
    cut = footer(NEW).replace(b"%010d" % len(NEW), b"%010d" % (len(NEW) + 100))

    assert settled_content(b"{}\0" + NEW + cut) == b"{}"


@pytest.mark.parametrize(
    "raw",
    [
        b"d5b0-a3c4\0\x9c\x01",
        '{"clientId": "CID"}'.encode("utf-16-le"),
        b"config.json".ljust(100, b"\0") + b"0000600\0".ljust(157, b"0") + b"ustar\0",
    ],
    ids=["the ciphertext of a stand-in of KMS", "UTF-16", "a tar archive of text"],
)
def test_what_begins_as_text_is_not_cut_where_no_save_wrote_the_rest(raw: bytes) -> None:
    assert settled_content(raw) == raw


ENVELOPE = b"ksm-storage envelope v1\nsuite: 1\nheader-mac: abc=\n\nQUJD\n"
LONGER = ENVELOPE[:-1] + b"REVG\n"


@pytest.mark.parametrize("new", [ENVELOPE, LONGER, ENVELOPE[:-3] + b"\n"], ids=len)
def test_an_envelopes_save_may_be_interrupted_at_any_byte(new: bytes) -> None:
    start = max(len(ENVELOPE), len(new)) + 1
    whole = ENVELOPE.ljust(start, b"\0") + new + footer(new)

    for end in range(len(ENVELOPE), len(whole)):
        assert settled_content(whole[:end]) == ENVELOPE, end
    assert settled_content(whole) == new


def test_an_envelopes_save_may_lose_blocks_to_a_loss_of_power() -> None:
    old = ENVELOPE.replace(b"QUJD", b"QUJD" * 300)
    whole = old.ljust(len(old) + 1, b"\0") + old + footer(old)

    for block in range(len(old) // 512 + 1, len(whole) // 512):
        begin, end = block * 512, block * 512 + 512
        assert settled_content(whole[:begin] + bytes(512) + whole[end:]) == old
    assert settled_content(old + bytes(1000)) == old


@pytest.mark.parametrize(
    "rest",
    [
        b"x",
        b"x" * 400,
        b"\xff\xfe",
        b"ksm-storage envelope v1\n" + b"context: a=b\n" * 20,
        b"\0" * 9 + LONGER + footer(ENVELOPE),
        ENVELOPE + footer(LONGER),
        b"ksm-storage envelope v1\nUPPER: x\n",
        b"ksm-storage envelope v1\nsuite: 1\0junk",
        ENVELOPE + footer(ENVELOPE) + b"more",
    ],
)
def test_nothing_else_may_stand_behind_an_envelope(rest: bytes) -> None:
    raw = ENVELOPE + b"\0" + rest

    assert settled_content(raw) == raw


def test_a_save_that_cannot_be_synced_leaves_the_old_version_alone(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(replacement, "sync_file", full)

    with pytest.raises(OSError, match="No space"):
        write_in_place(descriptor, OLD, NEW)

    assert os.pread(descriptor, 1_000_000, 0) == OLD


def test_a_save_that_is_synced_is_done_though_it_cannot_be_moved(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def once(opened: int) -> None:
        if synced:
            raise OSError(5, "Input/output error")
        synced.append(opened)

    monkeypatch.setattr(replacement, "sync_file", once)

    write_in_place(descriptor, OLD, NEW)

    assert synced == [descriptor]
    assert settled_content(os.pread(descriptor, 1_000_000, 0)) == NEW

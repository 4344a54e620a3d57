"""Every small damage of a sealed file is refused, and with nothing but the two errors for it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ksm_storage.envelope.codec import decode
from ksm_storage.envelope.opening import unlock
from ksm_storage.errors import DecryptionError, EnvelopeError
from tests.vectors.draft import DEK, PAYLOAD, Draft, recipient_lines

FULL = Draft().to_bytes()
SMALL = (
    Draft(payload=b"{}").with_context("a=b").with_recipients(recipient_lines(wrapped=16)).to_bytes()
)


@pytest.mark.parametrize(("raw", "payload"), [(FULL, PAYLOAD), (SMALL, b"{}")])
def test_the_files_that_are_damaged_here_open_undamaged(raw: bytes, payload: bytes) -> None:
    assert unlock(decode(raw), DEK) == payload


@pytest.mark.parametrize("part", range(4))
def test_no_byte_can_take_another_value(part: int) -> None:
    others = ((at, mask) for at in range(part, len(FULL), 4) for mask in range(1, 256))

    assert _opening(_changed(FULL, at, FULL[at] ^ mask) for at, mask in others) == []


@pytest.mark.parametrize("raw", [FULL, SMALL], ids=["full", "small"])
def test_every_truncation_is_refused(raw: bytes) -> None:
    # But for the last line feed alone, which some editors take (E18).
    cut = [raw[:length] for length in range(len(raw) - 1)]
    cut += [raw[start:] for start in range(1, 99)]

    assert _opening(cut) == []


@pytest.mark.parametrize("raw", [FULL, SMALL], ids=["full", "small"])
def test_every_appended_byte_is_refused(raw: bytes) -> None:
    longer = [raw + bytes([value]) for value in range(256)]
    longer += [raw + b"AAAA\n", raw + b"\n\n", raw + raw, raw + raw[-65:]]

    assert _opening(longer) == []


def test_every_removed_and_every_doubled_byte_is_refused() -> None:
    removed = [FULL[:at] + FULL[at + 1 :] for at in range(len(FULL) - 1)]
    doubled = [FULL[: at + 1] + FULL[at:] for at in range(len(FULL))]

    assert _opening(removed + doubled) == []


def test_every_removed_doubled_or_exchanged_line_is_refused() -> None:
    lines = FULL.splitlines(keepends=True)
    count = range(len(lines))
    removed = [[*lines[:at], *lines[at + 1 :]] for at in count]
    doubled = [[*lines[:at], lines[at], *lines[at:]] for at in count]
    exchanged = [_exchanged(lines, first, second) for first in count for second in range(first)]

    assert _opening(b"".join(damaged) for damaged in (*removed, *doubled, *exchanged)) == []


def _opening(damaged: Iterable[bytes]) -> list[bytes]:
    """Return the files that open in spite of their damage; another exception fails the test."""
    opened = []
    for raw in damaged:
        try:
            unlock(decode(raw), DEK)
        except (EnvelopeError, DecryptionError):
            continue
        opened.append(raw)
    return opened


def _changed(raw: bytes, at: int, value: int) -> bytes:
    return b"%b%c%b" % (raw[:at], value, raw[at + 1 :])


def _exchanged(lines: list[bytes], first: int, second: int) -> list[bytes]:
    other = list(lines)
    other[first], other[second] = lines[second], lines[first]
    return other

"""What holds for every input: hypothesis looks for one for which it does not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksm_storage.envelope.codec import MAGIC, decode, encode, looks_like_envelope
from ksm_storage.envelope.model import MAX_FILE_BYTES, Envelope
from ksm_storage.envelope.opening import unlock
from ksm_storage.errors import DecryptionError, EnvelopeError
from tests.long_form import LONG_FORM
from tests.unit.envelope.strategies import damaged, envelopes
from tests.vectors.draft import DEK, LINES, PAYLOAD, Draft

RAW = Draft().to_bytes()
# `make test` fuzzes the same parsers too: tests/fuzz tries thousands of inputs a second.
bounded = settings(max_examples=2000 if LONG_FORM else 300, deadline=None, derandomize=True)


@settings(bounded, max_examples=600 if LONG_FORM else 80)
@given(envelopes)
def test_every_envelope_is_read_as_it_was_written(envelope: Envelope) -> None:
    assert decode(encode(envelope)) == envelope


@bounded
@given(st.binary(max_size=600) | st.binary(max_size=600).map(MAGIC.__add__))
def test_any_bytes_are_refused_with_our_error_or_written_as_they_were(raw: bytes) -> None:
    assert_refused_or_canonical(raw)


@bounded
@given(damaged(RAW))
def test_a_damaged_file_is_refused_with_our_error_or_written_as_it_was(raw: bytes) -> None:
    assert_refused_or_canonical(raw)


@bounded
@given(damaged(RAW))
def test_a_damaged_file_opens_only_if_the_damage_was_undone(raw: bytes) -> None:
    try:
        payload = unlock(decode(raw), DEK)
    except (EnvelopeError, DecryptionError):
        return

    assert (as_written(raw), payload) == (RAW, PAYLOAD)


@bounded
@given(st.data())
def test_any_values_in_the_lines_are_refused_with_our_error_or_written_as_they_were(
    data: st.DataObject,
) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(1, len(lines) - 1))
        lines[at] = lines[at].partition(": ")[0] + ": " + data.draw(VALUES)

    raw = "".join(f"{line}\n" for line in lines).encode("utf-8") + RAW[RAW.index(b"commitment") :]

    assert_refused_or_canonical(raw)


VALUES = st.text(st.characters(codec="utf-8"), max_size=70) | st.sampled_from(
    [
        "0",
        "00",
        "1e9",
        "\uff19",
        "²",
        "2026-11-23T09:30:00Z",
        "A" * 43 + "=",
        "a=b",
        "p://k",
        "%s",
        "{}",
    ]
)


def assert_refused_or_canonical(raw: bytes) -> None:
    try:
        envelope = decode(raw)
    except EnvelopeError:
        return
    assert encode(envelope) == as_written(raw)
    assert looks_like_envelope(raw)


def as_written(raw: bytes) -> bytes:
    """Undo what a transfer in text mode may have changed (E18)."""
    raw = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    return raw.removesuffix(b"\n") + b"\n"


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "line feeds": lambda n: MAGIC + b"\n" * n,
    "empty header lines": lambda n: MAGIC + b"suite: 1\n" * (n // 9),
    "contexts": lambda n: _with_many(n, lambda number: f"context: {number:08}=v\n"),
    "recipients": lambda n: _with_many(
        n, lambda k: f"recipient: p://{k:08}\nalgorithm: A\nwrapped-dek: AAAA\n", context=False
    ),
    "one long line": lambda n: MAGIC + b"suite: " + b"1" * n + b"\n\n",
    "separators": lambda n: MAGIC + b": " * (n // 2) + b"\n\n",
    "key id": lambda n: _with_many(n, lambda _: f"recipient: {'p-' * n}\n", context=False),
    "provider of words": lambda n: _with_many(
        n, lambda _: f"recipient: {'a-' * (n // 2)}!://k\n", context=False
    ),
    "padding": lambda n: RAW.partition(b"\n\n")[0] + b"\n\n" + b"=" * n + b"\n",
    "payload in short lines": lambda n: (
        RAW.partition(b"\n\n")[0] + b"\n\n" + b"AA\nAA\n" * (n // 6)
    ),
    "no printable byte": lambda n: MAGIC + b"\xff" * n,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_input_takes_time_in_proportion_to_its_size(kind: str) -> None:
    # 16 times the size: about 16 times the time if linear, 256 times if quadratic.
    small, large = HOSTILE[kind](15_000), HOSTILE[kind](240_000)

    assert seconds_of(large) < 64 * max(seconds_of(small), 1e-4)


def test_a_file_over_the_cap_takes_no_time() -> None:
    # Compared with the parse of a file that is read in full.
    assert seconds_of(b"\xff" * (MAX_FILE_BYTES + 1)) < seconds_of(RAW)


def seconds_of(raw: bytes) -> float:
    """Return the shortest processor time of a few runs; other processes do not count."""
    shortest = float("inf")
    for _ in range(7):
        start = time.process_time()
        with contextlib.suppress(EnvelopeError):
            decode(raw)
        shortest = min(shortest, time.process_time() - start)
    return shortest


def _with_many(size: int, group: Callable[[int], str], *, context: bool = True) -> bytes:
    head = "".join(f"{line}\n" for line in LINES[: 6 if context else 8])
    groups: list[str] = []
    length = 0
    while length < size:
        groups.append(group(len(groups)))
        length += len(groups[-1])
    return (head + "".join(groups)).encode() + b"x: y\n\n"

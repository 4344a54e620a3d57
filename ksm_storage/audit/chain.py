"""The lines of an audit file, and how a reader verifies that none was changed or removed.

A line is canonical JSON (sorted names, no spaces, ASCII only). It holds the event, its ``number``
from 1, ``previous`` (the hash of the line before, zeros for the first) and ``hash``: SHA-256 over
the 32 bytes of ``previous`` and the canonical line without ``hash``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..wire.json_objects import NotAnObjectError, parse_object

NO_HASH = "0" * 64


class Link(NamedTuple):
    """Hold the number and hash of a line, to which the next one is chained."""

    number: int
    hash: str


START = Link(0, NO_HASH)


def chained_line(event: Mapping[str, object], after: Link) -> bytes:
    """Return the line of an event that follows a link, with its newline."""
    body = {**event, "number": after.number + 1, "previous": after.hash}
    return _canonical({**body, "hash": _hash(body, after.hash)}) + b"\n"


class Line(NamedTuple):
    """Hold a line as it was read; ``whole`` tells whether its own hash matches."""

    event: Mapping[str, Any]
    number: int
    previous: str
    hash: str
    whole: bool

    @property
    def link(self) -> Link:
        """Return what the next line is chained to."""
        return Link(self.number, self.hash)


def read_line(raw: bytes) -> Line | None:
    """Parse a line without its newline; return None if it is not a line of an audit file."""
    try:
        event = parse_object(raw)
    except NotAnObjectError:
        return None
    number, previous, digest = event.get("number"), event.get("previous"), event.get("hash")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        return None
    if not _is_hash(previous) or not _is_hash(digest):
        return None
    body = {name: value for name, value in event.items() if name != "hash"}
    # Written in another way it is another line, even if it means the same.
    whole = _canonical(event) == raw and _hash(body, str(previous)) == digest
    return Line(event, number, str(previous), str(digest), whole)


class Finding(NamedTuple):
    """Hold one fault, and the line of the file where it shows, counted from 1."""

    line: int
    what: str


class Verification:
    """Follow the chain through the lines of a file, in constant memory.

    Attributes:
        count: How many lines were read.
        head: The last link. Comparing it with a copy kept elsewhere shows that lines were cut off
            at the end, or that the whole file was rewritten.
        watched: Whether the link to watch for was found in the file.
    """

    def __init__(self) -> None:
        self.count = 0
        self.head = START
        self.watched = False
        self._missing = _Gaps()

    def findings(
        self, lines: Iterable[bytes], *, watch: tuple[int, str] | None = None
    ) -> Iterator[Finding]:
        """Yield the faults in the order of the file; missing events come last."""
        for raw in lines:
            self.count += 1
            line = read_line(raw.rstrip(b"\n"))
            if line is None:
                yield Finding(self.count, "cut off, or not an event")
            elif not raw.endswith(b"\n"):
                yield Finding(self.count, f"event {line.number} is cut off: its newline is missing")
            if line is not None:
                self.watched = self.watched or line.link == watch
                yield from self._followed(line)
        for place, first, last in self._missing.ranges:
            events = f"event {first} is" if first == last else f"events {first} to {last} are"
            yield Finding(place, f"{events} missing before it")

    def _followed(self, line: Line) -> Iterator[Finding]:
        if not line.whole:
            yield Finding(self.count, f"event {line.number} was changed")
        expected = self.head.number + 1
        if line.number < expected:
            if self._missing.fill(line.number):
                yield Finding(self.count, f"event {line.number} is out of order")
            else:
                yield Finding(self.count, f"event {line.number} is repeated")
            return
        if line.number > expected:
            self._missing.add(self.count, expected, line.number - 1)
        elif line.whole and line.previous != self.head.hash:
            yield Finding(self.count, f"event {line.number} does not follow the one before it")
        self.head = line.link


class _Gaps:
    """Hold ranges of missing event numbers, each with the line where the gap was noticed."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int, int]] = []

    def add(self, line: int, first: int, last: int) -> None:
        """Add a range, both ends included."""
        self.ranges.append((line, first, last))

    def fill(self, number: int) -> bool:
        """Remove a number that turned up later from its range; tell whether it was in one."""
        for at, (line, first, last) in enumerate(self.ranges):
            if first <= number <= last:
                parts = [(line, first, number - 1), (line, number + 1, last)]
                self.ranges[at : at + 1] = [part for part in parts if part[1] <= part[2]]
                return True
        return False


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _hash(body: Mapping[str, object], previous: str) -> str:
    return hashlib.sha256(bytes.fromhex(previous) + _canonical(body)).hexdigest()


def _canonical(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")

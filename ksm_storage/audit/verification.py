"""Find what was changed, removed, moved or cut off in an audit file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .chain import START, Line, read_line


class Finding(NamedTuple):
    """Hold one thing that is wrong, and the line of the file where it shows, from 1."""

    line: int
    what: str


class Verification:
    """Follow the chain through the lines of a file, in memory that does not grow with it.

    Attributes:
        count: How many lines were read.
        head: Where the chain stands. Whoever noted it elsewhere sees with it that lines were cut
            off at the end, or that the whole file was written anew.
        watched: Whether a link that was to be watched for stood in the file.
    """

    def __init__(self) -> None:
        self.count = 0
        self.head = START
        self.watched = False
        self._missing = _Gaps()

    def findings(
        self, lines: Iterable[bytes], *, watch: tuple[int, str] | None = None
    ) -> Iterator[Finding]:
        """Yield what is wrong, in the order of the file; what is missing comes last."""
        for raw in lines:
            self.count += 1
            line = read_line(raw.rstrip(b"\n"))
            if line is None:
                yield Finding(self.count, "it is cut off, or no event")
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
                yield Finding(self.count, f"event {line.number} stands here again")
            return
        if line.number > expected:
            self._missing.add(self.count, expected, line.number - 1)
        elif line.whole and line.previous != self.head.hash:
            yield Finding(self.count, f"event {line.number} does not follow the one before it")
        self.head = line.link


class _Gaps:
    """Hold ranges of event numbers that were passed over, with the line where it was noticed."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int, int]] = []

    def add(self, line: int, first: int, last: int) -> None:
        """Note a range, both ends included."""
        self.ranges.append((line, first, last))

    def fill(self, number: int) -> bool:
        """Take a number that turned up later out of its range; tell whether it was in one."""
        for at, (line, first, last) in enumerate(self.ranges):
            if first <= number <= last:
                parts = [(line, first, number - 1), (line, number + 1, last)]
                self.ranges[at : at + 1] = [part for part in parts if part[1] <= part[2]]
                return True
        return False

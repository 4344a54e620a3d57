"""Processes that begin their work at the same moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from tests.unit.storage import forked


class StartingLine:
    """Hold processes that wait until all of them are there."""

    def __init__(self) -> None:
        self._gate, self._opener = os.pipe()
        self._here, self._arrived = os.pipe()
        self.processes: list[int] = []

    def add(self, work: Callable[[], object]) -> int:
        """Start a process that waits, and return its id."""

        def waiting() -> None:
            os.close(self._opener)
            os.write(self._arrived, b"x")
            # It reads the end when the parent opens the gate.
            os.read(self._gate, 1)
            work()

        self.processes.append(forked.start(waiting))
        return self.processes[-1]

    def go(self) -> None:
        """Let all begin at once."""
        for _ in self.processes:
            os.read(self._here, 1)
        for end in (self._opener, self._gate, self._here, self._arrived):
            os.close(end)

    def statuses(self) -> list[int]:
        """Wait until all have ended and return how."""
        return [forked.status_of(process) for process in self.processes]


def all_at_once(works: Sequence[Callable[[], object]]) -> list[int]:
    """Run each piece of work in a process of its own, all at once; return how they ended."""
    line = StartingLine()
    for work in works:
        line.add(work)
    line.go()
    return line.statuses()

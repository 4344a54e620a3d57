"""Let the threads of a process that open the same envelope at once share one opening."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from ..errors import KsmStorageError

_Result = TypeVar("_Result")


def shared(what: object, call: Callable[[], _Result]) -> _Result:
    """Return what the call gives, or what the same call in another thread is about to give.

    Only a call that is going on is shared; nothing is kept after it.

    Args:
        what: All that the result depends on. Equal ones are the same call.
        call: Made unless another thread is making it.

    Raises:
        KsmStorageError: The call raised it, in this thread or in the one that made it.
    """
    # A thread that was opening when the process was forked does not exist in the child.
    going_on = _going_on_by_process.setdefault(os.getpid(), _GoingOn())
    while True:
        mine = _Opening[_Result](what)
        found = going_on.join(mine)
        if found is mine:
            return _made(going_on, mine, call)
        if found.thread == threading.get_ident():
            # A plugin or an audit sink opens the file that it is asked about.
            return call()
        found.done.wait()
        # It was given up (Ctrl-C in that thread): then this thread makes the call.
        if found.is_decided:
            return found.outcome()


class _Opening(Generic[_Result]):
    def __init__(self, what: object) -> None:
        self.what = what
        self.thread = threading.get_ident()
        self.done = threading.Event()
        self.result: list[_Result] = []
        self.error: KsmStorageError | None = None

    @property
    def is_decided(self) -> bool:
        return self.error is not None or bool(self.result)

    def outcome(self) -> _Result:
        if self.error is not None:
            raise self.error
        return self.result[0]


class _GoingOn:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._openings: list[_Opening[object]] = []

    def join(self, mine: _Opening[_Result]) -> _Opening[_Result]:
        with self._lock:
            for opening in self._openings:
                if opening.what == mine.what:
                    # Equal calls have results of one type.
                    return cast("_Opening[_Result]", opening)
            self._openings.append(cast("_Opening[object]", mine))
            return mine

    def end(self, mine: _Opening[_Result]) -> None:
        with self._lock:
            self._openings.remove(cast("_Opening[object]", mine))
        mine.done.set()


def _made(going_on: _GoingOn, mine: _Opening[_Result], call: Callable[[], _Result]) -> _Result:
    try:
        mine.result.append(call())
    except KsmStorageError as exc:
        mine.error = exc
    finally:
        going_on.end(mine)
    return mine.outcome()


# Threads that open know nothing of each other, so what they share belongs to the process.
_going_on_by_process: dict[int, _GoingOn] = {}

"""Settings of the whole process that a block changes: core files and the garbage collector."""

from __future__ import annotations

import gc
import os
import sys
from _thread import allocate_lock
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# On Linux a limit of one byte turns off core files and also those that the kernel hands to a
# program, which a limit of zero does not (core_pattern with a pipe); see docs/decisions/0034.
_LOWERED = 1 if sys.platform == "linux" else 0


class _Holders:
    """Hold which blocks of a process prevent core files, and the limit before the first.

    A signal handler may raise at each step: what was begun is then finished by the next call of
    :meth:`remove`, which may be repeated.
    """

    __slots__ = ("before", "blocks", "lock")

    def __init__(self) -> None:
        self.lock = allocate_lock()
        self.blocks: set[object] = set()
        self.before: int | None = None

    def add(self, block: object) -> None:
        """Lower the limit, if this is the first block."""
        with self.lock:
            if not self.blocks and self.before is None:
                # Kept before it is lowered; after an interrupted removal it is still there.
                self.before = _soft_limit()
            self.blocks.add(block)
            if self.before is not None:
                _lower()

    def remove(self, block: object) -> None:
        """Restore the limit, if this was the last block."""
        if not self.is_of_this_process():
            return
        with self.lock:
            self.blocks.discard(block)
            if not self.blocks:
                _raise_to(self.before)
                self.before = None

    def is_of_this_process(self) -> bool:
        """Tell whether the process was not forked since: the child has a limit of its own."""
        return _by_process.get(os.getpid()) is self


# State that changes, because the limit belongs to the process. By process id: a lock that another
# thread held when the process was forked would never be released in the child.
_by_process: dict[int, _Holders] = {}


@contextmanager
def no_core_dumps() -> Iterator[None]:
    """Lower the process's limit for core files inside the block, where the platform has one.

    Blocks may be nested and overlap in several threads; after the last one the limit is as it
    was, unless the application has changed it meanwhile. Only the soft limit is lowered, so a
    program that is started inside the block may raise it again.
    """
    process = os.getpid()
    holders = _by_process.get(process) or _by_process.setdefault(process, _Holders())
    block = object()
    try:
        holders.add(block)
        yield
    finally:
        # Twice, because a signal handler may raise in the first.
        try:
            holders.remove(block)
        finally:
            holders.remove(block)


def give_limit_back() -> None:
    """Restore the limit at once: another program is about to take this process's place."""
    holders = _by_process.get(os.getpid())
    if holders is not None and holders.blocks:
        _raise_to(holders.before)


def _soft_limit() -> int | None:
    """Return the limit, or None where it cannot be lowered."""
    try:
        # Here and below: loaded when it is used, and absent on Windows.
        import resource
    except ImportError:
        return None
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    except (OSError, ValueError):
        return None
    return None if hard != resource.RLIM_INFINITY and hard < _LOWERED else soft


def _lower() -> None:
    import resource

    # The system may not allow it: opening matters more than a core file that may follow.
    with suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (_LOWERED, hard))


def _raise_to(before: int | None) -> None:
    if before is None:
        return
    import resource

    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        # Any other limit was set by the application since.
        if soft == _LOWERED:
            resource.setrlimit(resource.RLIMIT_CORE, (before, hard))
    except (OSError, ValueError):
        return


@contextmanager
def gc_pause() -> Iterator[None]:
    """Keep the collector out of the block, and leave it as it was.

    Parsing 10,000 records makes a quarter of a million containers and not one cycle, and so does
    the import of a key service's SDK, whose classes and functions stay. The collector, woken by
    their number, would go through all of them again and again: a third of the time of the
    parsing, up to a fifth of the import's. Reference counting goes on, so nothing is kept that
    would have been freed but for cycles, which are found later.
    What was made counts as old afterwards, and is looked at with the rest when that is due.
    The block must be short and must not wait for anybody: the pause is the whole process's.
    """
    if not gc.isenabled():
        # Paused already, by the caller or another thread, which also resumes it.
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        # Both take no time; without them the collector would go through all of it at once. An
        # application that froze its objects before a fork must find them frozen.
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()
        gc.enable()

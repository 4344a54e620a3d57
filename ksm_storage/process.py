"""What a block of ours changes for the whole process: its core files and its garbage collector."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# On Linux a limit of one byte turns off core files and also those that the kernel hands to a
# program, which a limit of zero does not (core_pattern with a pipe); see docs/decisions/0034.
_LOWERED = 1 if sys.platform == "linux" else 0


class _Holders:
    """Hold how many blocks of a process prevent core files, and the limit before the first."""

    __slots__ = ("before", "count", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.before: int | None = None


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
    with holders.lock:
        if not holders.count:
            holders.before = _lower()
        holders.count += 1
    try:
        yield
    finally:
        if os.getpid() == process:
            with holders.lock:
                holders.count -= 1
                if not holders.count:
                    _raise_to(holders.before)


def give_limit_back() -> None:
    """Restore the limit at once: another program is about to take this process's place."""
    holders = _by_process.get(os.getpid())
    if holders is not None and holders.count:
        _raise_to(holders.before)


def _lower() -> int | None:
    try:
        # Here and below: loaded when it is used, and absent on Windows.
        import resource
    except ImportError:
        return None
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        if hard != resource.RLIM_INFINITY and hard < _LOWERED:
            return None
        resource.setrlimit(resource.RLIMIT_CORE, (_LOWERED, hard))
    # The system does not allow it: opening matters more than a core file that may follow.
    except (OSError, ValueError):
        return None
    return soft


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
        # Paused already, by the caller or by another thread, who also wakes it again.
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

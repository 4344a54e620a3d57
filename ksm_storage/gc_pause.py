"""Pause the cyclic garbage collector while many objects are made that all stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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

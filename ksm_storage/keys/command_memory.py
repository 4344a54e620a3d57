"""Where commands keep the records of the files that they open, if nobody chose a folder.

A file of its own, because every command sets it and few ever load what reads it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_folder: ContextVar[str | None] = ContextVar("ksm_storage_command_memory", default=None)


@contextmanager
def command_memory() -> Iterator[None]:
    """Let what is opened inside the block be remembered in the user's state folder."""
    token = _folder.set(_state_folder())
    try:
        yield
    finally:
        _folder.reset(token)


@contextmanager
def no_memory() -> Iterator[None]:
    """Let what is opened inside the block be compared with nothing."""
    token = _folder.set(None)
    try:
        yield
    finally:
        _folder.reset(token)


def current_command_memory() -> str | None:
    """Return the folder, or None outside of a command and where the user has no home."""
    return _folder.get()


def _state_folder() -> str | None:
    if sys.platform == "linux":
        # What platformdirs answers here, too, without the time of importing it at each start.
        given = os.environ.get("XDG_STATE_HOME", "").strip()
        folder = given or os.path.expanduser("~/.local/state")
    else:
        from platformdirs import user_state_dir

        try:
            folder = user_state_dir()
        except RuntimeError:  # Nobody has a home.
            return None
    return os.path.join(folder, "ksm-storage", "memory") if os.path.isabs(folder) else None

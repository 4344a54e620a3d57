"""Save into a file that cannot be replaced, so that a crash leaves the old or the new version.

A file that is bind-mounted into a container, or lies in a folder where we may not write, cannot
be replaced by a rename. Then the new version is first written *behind* the old one, with a gap of
at least one NUL byte and a footer that holds its length and SHA-256, and synced: from here on the
save is done. After that the new version is written to the start of the file, and the rest cut off.

::

    old version | NUL ... NUL | new version | footer

A reader that meets a NUL byte takes the new version if the footer is whole, else the old one.
"""

from __future__ import annotations

import os
import re

from .sync import sync_file

_FOOTER = re.compile(rb"\nksm-storage journal ([0-9]{10}) ([0-9a-f]{64})\n\Z")
_FOOTER_BYTES = len(b"\nksm-storage journal ") + 10 + 1 + 64 + 1
_SPACE = 0x20
_OFFICIAL_BLOB = 0xFF


def settled_content(raw: bytes) -> bytes:
    """Return the version that a file holds, be a save in place unfinished or not."""
    if b"\0" not in raw:
        return raw
    pending = _pending(raw)
    if pending is not None:
        return pending
    # Only text can have been saved by us; a binary file with NUL bytes is none of ours.
    if _SPACE <= raw[0] < _OFFICIAL_BLOB:
        return raw[: raw.index(b"\0")]
    return raw


def write_in_place(descriptor: int, raw: bytes, new: bytes) -> None:
    """Save a new version into an open file whose current bytes are given.

    The caller holds the file's lock.

    Raises:
        OSError: The old version stands.
    """
    settled = settled_content(raw)
    if settled != raw:
        _settle(descriptor, settled)
    start = max(len(settled), len(new)) + 1
    try:
        _write_at(descriptor, new + _footer(new), start)
        sync_file(descriptor)
    except OSError:
        os.ftruncate(descriptor, len(settled))
        raise
    _finish(descriptor, new)


def _finish(descriptor: int, new: bytes) -> None:
    try:
        _settle(descriptor, new)
    except OSError:
        # The save is done: every reader takes the version behind the footer, and the next
        # writer moves it to the start.
        return


def _settle(descriptor: int, content: bytes) -> None:
    _write_at(descriptor, content, 0)
    sync_file(descriptor)
    os.ftruncate(descriptor, len(content))
    sync_file(descriptor)


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    os.lseek(descriptor, offset, os.SEEK_SET)
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _footer(new: bytes) -> bytes:
    digest = _sha256(new)
    return f"\nksm-storage journal {len(new):010d} {digest}\n".encode("ascii")


def _pending(raw: bytes) -> bytes | None:
    footer = _FOOTER.search(raw, max(0, len(raw) - _FOOTER_BYTES))
    if footer is None:
        return None
    end = footer.start()
    content = raw[max(0, end - int(footer[1])) : end]
    matches = _sha256(content).encode("ascii") == footer[2]
    return content if matches and len(content) == int(footer[1]) else None


def _sha256(content: bytes) -> str:
    # Loaded for a save in place only; whoever merely opens a file does not pay for it.
    import hashlib

    return hashlib.sha256(content).hexdigest()

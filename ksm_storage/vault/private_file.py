"""Files and folders that only their owner may read, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from ..errors import StorageError


def write_private(path: Path, content: bytes) -> None:
    """Replace the file with the content, durably and with mode 0600.

    Raises:
        StorageError: The folder or the disk refused; the old file stands.
    """
    # Not the storage package's writer: vault and engine share only the wire format.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as exc:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(f"cannot write {str(path)!r}: {exc.strerror}") from exc


def read_private(path: Path) -> bytes:
    """Return the whole file; raise StorageError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise StorageError(f"cannot read {str(path)!r}: {exc.strerror}") from exc


def make_private_folder(path: Path) -> None:
    """Make the folder with mode 0700 where it does not exist; one that exists stays as it is."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise StorageError(f"cannot make the folder {str(path)!r}: {exc.strerror}") from exc


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open a folder for fsync; the rename is journalled there.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Examine one file: can it be read, is it an envelope, and could it be saved."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from ..envelope.codec import decode
from ..errors import KsmStorageError, StorageError
from ..storage.envelope_file import read_envelope
from ..storage.reading import resolved
from .finding import FileFinding


def examine_file(path: str) -> FileFinding:
    """Find out what can be found out about a file, without changing anything."""
    found = FileFinding(path)
    try:
        real = resolved(path)
        content = read_envelope(real)
        found.facts["mode"] = f"{stat.S_IMODE(content.status.st_mode):04o}"
        header = decode(content.content).header
        found.facts["revision"] = str(header.revision)
        found.keys = tuple(str(recipient.key) for recipient in header.recipients)
    except FileNotFoundError:
        found.problems.append(StorageError(f"{path!r} does not exist"))
        return found
    except KsmStorageError as exc:
        found.problems.append(exc)
        return found
    found.notes += _obstacles(real, content.status)
    return found


def _obstacles(real: str, status: os.stat_result) -> Iterator[str]:
    mode = stat.S_IMODE(status.st_mode)
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield f"others have a permission on it (mode {mode:04o}); it is sealed all the same"
    effective = os.access in os.supports_effective_ids
    if not os.access(real, os.W_OK, effective_ids=effective):
        yield "it is read-only here: it opens, and cannot be saved"
    elif not os.access(os.path.dirname(real), os.W_OK | os.X_OK, effective_ids=effective):
        yield "its folder is read-only here: it is saved in place"

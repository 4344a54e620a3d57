"""Look at one sealed file."""

from __future__ import annotations

import os
import stat

from ..envelope.codec import decode
from ..errors import StorageError
from ..storage.envelope_file import read_envelope
from ..storage.reading import resolved
from .file_status import FileStatus, RecipientStatus
from .key_facts import KeyFacts


def examine(path: str, facts: KeyFacts | None) -> FileStatus:
    """Return what is known of a sealed file; no payload is opened, and nothing is changed.

    Args:
        path: The file, symbolic links followed.
        facts: Who asks the key services; None to read the header only.

    Raises:
        StorageError, EnvelopeError: It cannot be read, or is no envelope.
    """
    real = resolved(path)
    try:
        found = read_envelope(real)
    except FileNotFoundError as exc:
        raise StorageError(f"{os.fspath(path)!r} does not exist") from exc
    header = decode(found.content).header
    if facts is None:
        recipients = tuple(RecipientStatus(recipient) for recipient in header.recipients)
    else:
        aad = header.wrap_aad
        recipients = tuple(facts.of(recipient, aad=aad) for recipient in header.recipients)
    return FileStatus(
        path=path,
        mode=stat.S_IMODE(found.status.st_mode),
        envelope_id=header.envelope_id,
        created=header.created,
        sealed=header.sealed,
        revision=header.revision,
        context=header.context,
        recipients=recipients,
    )

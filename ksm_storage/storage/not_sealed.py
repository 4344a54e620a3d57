"""Say what a file is that was expected to be an envelope and never was one."""

from __future__ import annotations

import shlex

from ..config.recognise import is_plain
from ..errors import EnvelopeError
from ..legacy.official import is_blob


def not_sealed(path: str, content: bytes) -> EnvelopeError:
    """Return the error for a file with these bytes, which are no envelope and not nothing."""
    if is_plain(content):
        return EnvelopeError(
            f"{path!r} is a plain configuration, not sealed",
            hint=f"seal it with: ksm-storage protect {shlex.quote(path)}",
        )
    if is_blob(content):
        return EnvelopeError(
            f"{path!r} was sealed by one of Keeper's own packages, not by ksm-storage",
            hint="name the key that opens it: "
            f"ksm-storage protect {shlex.quote(path)} --from-key URI --key URI",
        )
    return EnvelopeError(
        f"{path!r} is no envelope of ksm-storage, and no plain configuration",
        hint="name the file that holds the sealed configuration",
    )

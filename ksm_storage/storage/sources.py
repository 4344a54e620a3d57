"""Where the configuration is: the caller's path, the environment, or the working folder."""

from __future__ import annotations

import os

from ..config.json_form import decode_base64
from ..envelope.codec import looks_like_envelope
from ..errors import EnvelopeError, StorageError

DEFAULT_FILE = "client-config.json"
ENVELOPE_VARIABLE = "KSM_STORAGE_CONFIG"
FILE_VARIABLE = "KSM_CONFIG_FILE"


def envelope_from_environment() -> bytes | None:
    """Return the envelope that ``$KSM_STORAGE_CONFIG`` holds in base64, or None if it is unset.

    Raises:
        EnvelopeError: It holds something else.
    """
    text = os.environ.get(ENVELOPE_VARIABLE)
    if not text:
        return None
    raw = decode_base64(text.encode("utf-8", errors="replace"))
    if raw is None or not looks_like_envelope(raw):
        raise EnvelopeError(
            f"${ENVELOPE_VARIABLE} holds no envelope in base64",
            hint=f"set it with: export {ENVELOPE_VARIABLE}=$(base64 -w0 PATH)",
        )
    return raw


def configured_path() -> str:
    """Return ``$KSM_CONFIG_FILE``, or the official SDK's default name.

    Raises:
        StorageError: It is no path, but a configuration.
    """
    path = os.environ.get(FILE_VARIABLE) or DEFAULT_FILE
    refuse_configuration(path)
    return path


def refuse_configuration(path: str) -> None:
    """Refuse what is given as a path and is the content of ``$KSM_CONFIG``.

    Raises:
        StorageError: It is a plain configuration, which the message does not repeat.
    """
    # No real one is shorter in base64, and hardly any path is longer or has a brace.
    if len(path) < 256 and "{" not in path:
        return
    from ..config.recognise import is_plain

    if is_plain(os.fsencode(path)):
        raise StorageError(
            "what is given as a path is a plain configuration itself",
            hint="pipe it into 'ksm-storage profile import PATH' to seal it in a file",
        )

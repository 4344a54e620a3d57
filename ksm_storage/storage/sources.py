"""Where the configuration is: the caller's path, the environment, or the working folder."""

from __future__ import annotations

import os

from ..config.json_form import decode_base64
from ..envelope.codec import looks_like_envelope
from ..errors import EnvelopeError, StorageError

DEFAULT_FILE = "client-config.json"
ENVELOPE_VARIABLE = "KSM_STORAGE_CONFIG"
FILE_VARIABLE = "KSM_CONFIG_FILE"

_MIN_SECRET = 43
_MIN_CONFIG = 256
_MAX_PATH = 4096
_MARKS = frozenset("{=\n")


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
    """Refuse a configuration or a token in the place of a path.

    Raises:
        StorageError: It is one, or looks like one and no file has that name. The message does not
            repeat it.
    """
    # Most starts load nothing for it: no key or configuration is shorter, hardly any name of a file
    # or folder is longer, and hardly any path has one of these marks.
    names = path.replace(".", "/").split("/")
    if max(map(len, names)) < _MIN_SECRET and not _MARKS.intersection(path):
        return
    if _is_secret(path):
        raise StorageError(
            "the path is a configuration or a token (not shown)",
            hint="pass the path of a file; to seal a configuration, pipe it into "
            "'ksm-storage profile import PATH'",
        )


def _is_secret(path: str) -> bool:
    from ..contract.redaction import may_be_secret

    if may_be_secret(path) and not os.path.lexists(path[:_MAX_PATH]):
        return True
    if "{" not in path and len(path) < _MIN_CONFIG:
        return False
    from ..config.recognise import is_plain

    return is_plain(os.fsencode(path))

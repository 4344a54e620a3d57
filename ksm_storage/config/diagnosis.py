"""Say why a text is not a configuration, and how to get the configuration out of it.

Loaded only for a text that was not recognised. No message contains a part of the text.
"""

from __future__ import annotations

import json
import re

from .document import InvalidConfigError

_IMPORT = "ksm-storage profile import NEW --key URI"
_EXTRACT = f"pipe the configuration alone into: {_IMPORT}"
_MANIFEST = re.compile(rb"^(?:apiVersion|kind):", re.MULTILINE)
_YAML_LINE = re.compile(rb"(?:- )?[\w.-]+:(?:\s.*)?")
_INI_LINE = re.compile(rb"[\w.-]+\s*=.*")
_ASSIGNED_TOKEN = re.compile(rb"(?:[\w:$]+\s*=\s*)?[\"']?[A-Za-z0-9.-]{2,253}:[\w-]{43}[\"']?")
_COMMENTS = (b"#", b";", b"//", b"/*")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{43,}=*")


def explained(text: bytes) -> InvalidConfigError:
    """Return the error for a text in none of the forms of a configuration."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    content = [line for line in lines if not line.startswith(_COMMENTS)]
    if _MANIFEST.search(text):
        return _manifest()
    if content != lines and b"".join(content).startswith(b"{"):
        return InvalidConfigError("is JSON with comments", "remove the comments")
    if len(content) == 1 and _ASSIGNED_TOKEN.fullmatch(content[0]):
        return InvalidConfigError(
            "is a one-time token, not a configuration",
            "bind a device with it: ksm-storage init PATH --key URI",
        )
    if content and all(map(_INI_LINE.fullmatch, content)):
        return InvalidConfigError(
            "has assignments without a [section], and none of KSM_CONFIG",
            "as a keeper.ini, it must begin with [_default]; otherwise " + _EXTRACT,
        )
    if content and _YAML_LINE.fullmatch(content[0]):
        return InvalidConfigError("is YAML", _EXTRACT)
    if _BASE64.fullmatch(b"".join(text.split())):
        return InvalidConfigError(
            "is base64 that is cut off, or of something else", "copy the whole configuration again"
        )
    return InvalidConfigError("is not a Keeper configuration")


def explained_object(content: dict[str, object]) -> InvalidConfigError | None:
    """Return the error for an object that holds a configuration deeper inside, or None."""
    if "kind" in content and "apiVersion" in content:
        return _manifest()
    return None


def is_array(raw: bytes) -> bool:
    """Tell whether the bytes are a JSON array."""
    try:
        return isinstance(json.loads(raw), list)
    except (ValueError, RecursionError):
        return False


def other_encoding(raw: bytes) -> str | None:
    """Return the name of the Unicode encoding that the bytes have instead of UTF-8, or None."""
    if raw.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    # Without a byte order mark, each second byte of ASCII is a NUL.
    pairs = (raw[0:4:2], raw[1:4:2])
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(raw) >= 4 and b"\0\0" in pairs):
        return "UTF-16" if pairs[0] != pairs[1] else None
    return None


def _manifest() -> InvalidConfigError:
    return InvalidConfigError(
        "is a Kubernetes manifest",
        f"kubectl get secret NAME -o jsonpath='{{.data.KEY}}' | {_IMPORT}",
    )

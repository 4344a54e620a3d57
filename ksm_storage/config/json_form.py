"""A configuration as JSON text and as base64 of that text, the official SDK's two forms."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidConfigError(ValueError):
    """Say why a text is not a configuration; holds nothing of the text.

    Attributes:
        hint: What to do instead, where there is better advice than the usual one.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def parse_object(raw: bytes) -> dict[str, object]:
    """Parse a JSON object in UTF-8; a byte order mark is allowed.

    Raises:
        InvalidConfigError: It is not JSON, not UTF-8, not an object, or repeats a field.
    """
    text = decoded_text(raw)
    try:
        content: object = json.loads(text, object_pairs_hook=_unique)
    except InvalidConfigError:
        raise
    # The parser's recursion ends with RecursionError on a text of brackets.
    except (ValueError, RecursionError) as exc:
        place = _place(exc)
    else:
        if isinstance(content, dict):
            return content
        kind = "array" if isinstance(content, list) else "value"
        raise InvalidConfigError(f"is a JSON {kind}, not an object")
    # Raised here and not above: a parser's exception holds the whole configuration, and would
    # stay behind as the context of this one.
    raise InvalidConfigError(f"is not valid JSON{place}")


def decoded_text(raw: bytes) -> str:
    """Decode UTF-8 text, without its byte order mark.

    Raises:
        InvalidConfigError: It is not UTF-8.
    """
    try:
        # Not "utf-8-sig", a module that each start would load for it.
        return raw.removeprefix(_BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as exc:
        position = exc.start
    raise InvalidConfigError(f"is not UTF-8 text (byte {position})")


def string_map(content: object) -> dict[str, str]:
    """Return an object of strings.

    Raises:
        InvalidConfigError: A value is not a string; the message names its field only.
    """
    if not isinstance(content, dict):
        raise InvalidConfigError("is not an object of fields")
    for name, value in content.items():
        if not isinstance(value, str):
            raise InvalidConfigError(f"has a field {name!r} whose value is not a string")
        refuse_surrogates(name, value)
    return content


def refuse_surrogates(*texts: str) -> None:
    """Refuse what JSON can escape and UTF-8 cannot encode.

    Raises:
        InvalidConfigError: A text has an unpaired surrogate.
    """
    if any(_SURROGATE.search(text) for text in texts):
        raise InvalidConfigError("has an unpaired surrogate")


def format_json(config: Mapping[str, str]) -> bytes:
    """Return the configuration as the official SDK writes ``client-config.json``."""
    return json.dumps(dict(config), indent=4, sort_keys=True).encode("ascii")


def format_base64(config: Mapping[str, str]) -> bytes:
    """Return the configuration as the official tools accept it in ``KSM_CONFIG``."""
    return base64.b64encode(format_json(config))


def decode_base64(raw: bytes) -> bytes | None:
    """Decode base64 text, or return None: either alphabet, with or without padding, wrapped."""
    from ..wire.base64_forms import from_base64

    try:
        return from_base64(b"".join(raw.split()).decode("ascii"))
    except ValueError:
        return None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise InvalidConfigError("has a field twice")
    return content


def _place(exc: Exception) -> str:
    """Return where the parser stopped, without the text that it parsed."""
    if isinstance(exc, json.JSONDecodeError):
        return f" (line {exc.lineno}, column {exc.colno})"
    return ""

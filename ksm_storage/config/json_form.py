"""A configuration as JSON text and as base64 of that text, as the official SDK takes them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidConfigError(ValueError):
    """Say what is wrong with a text that should be a configuration; holds nothing of the text."""


def parse_object(raw: bytes) -> dict[str, object]:
    """Parse a JSON object in UTF-8, a byte order mark allowed.

    Raises:
        InvalidConfigError: It is not JSON, not UTF-8, not an object, or names a field twice.
    """
    text = decoded_text(raw)
    try:
        content: object = json.loads(text, object_pairs_hook=_unique)
    except InvalidConfigError:
        raise
    # The parser's recursion ends with RecursionError on a text of brackets.
    except (ValueError, RecursionError) as exc:
        position = _position(exc)
    else:
        if not isinstance(content, dict):
            raise InvalidConfigError("is JSON, but not an object")
        return content
    # Raised here and not above: a parser's exception holds the whole configuration, and would
    # stay behind as the context of this one.
    raise InvalidConfigError("is not valid JSON") from position


def decoded_text(raw: bytes) -> str:
    """Return the text that UTF-8 encodes, without its byte order mark.

    Raises:
        InvalidConfigError: It is no UTF-8.
    """
    try:
        # Not "utf-8-sig", a module that each start would load for it.
        return raw.removeprefix(_BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as exc:
        position = ValueError(f"byte {exc.start}")
    raise InvalidConfigError("is not UTF-8 text") from position


def string_map(content: object) -> dict[str, str]:
    """Return an object of strings.

    Raises:
        InvalidConfigError: A value is something else; its name is told, not its value.
    """
    if not isinstance(content, dict):
        raise InvalidConfigError("is not an object of fields")
    for name, value in content.items():
        if not isinstance(value, str):
            raise InvalidConfigError(f"has the field {name!r} whose value is not a string")
        refuse_surrogates(name, value)
    return content


def refuse_surrogates(*texts: str) -> None:
    """Refuse what JSON can escape and UTF-8 cannot say.

    Raises:
        InvalidConfigError: A text holds half of a surrogate pair.
    """
    if any(_SURROGATE.search(text) for text in texts):
        raise InvalidConfigError("holds half of a surrogate pair")


def format_json(config: Mapping[str, str]) -> bytes:
    """Return the configuration as the official SDK writes ``client-config.json``."""
    return json.dumps(dict(config), indent=4, sort_keys=True).encode("ascii")


def format_base64(config: Mapping[str, str]) -> bytes:
    """Return the configuration as the official tools take it in ``KSM_CONFIG``."""
    return base64.b64encode(format_json(config))


def decode_base64(raw: bytes) -> bytes | None:
    """Return what the text encodes in base64 (either alphabet, line breaks allowed), or None."""
    text = b"".join(raw.split()).translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise InvalidConfigError("names a field twice")
    return content


def _position(exc: Exception) -> Exception:
    """Return a cause without the text that was parsed."""
    if isinstance(exc, json.JSONDecodeError):
        return ValueError(f"line {exc.lineno}, column {exc.colno}")
    return ValueError(type(exc).__name__)

"""Dotenv files: ``NAME=VALUE`` lines, with the quotes of a shell and nothing expanded."""

from __future__ import annotations

import re

from ..errors import SettingsError, StorageError
from ..files.reading import file_error

_MAX_BYTES = 1_048_576

_START = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=")
_SKIPPED = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]+|\\.)*)"', re.DOTALL)
# A comment begins behind a blank.
_COMMENT = re.compile(r"[ \t]#.*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$", "`": "`", "\n": ""}


def read_dotenv(path: str) -> dict[str, str]:
    """Return the variables of a file; of two with one name, the later one wins.

    Raises:
        StorageError: The file cannot be read, is too large, or is not UTF-8.
        SettingsError: A line is not ``NAME=VALUE``, or a quote is not closed.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError as exc:
        raise StorageError(f"{path!r} does not exist", hint="check --env-file") from exc
    except OSError as exc:
        raise file_error("read", path, exc) from exc
    except UnicodeDecodeError:
        raise StorageError(f"{path!r} is not UTF-8 text", hint="save it as UTF-8") from None
    if len(raw) > _MAX_BYTES:
        raise StorageError(
            f"{path!r} is larger than {_MAX_BYTES} bytes", hint="check that it is a dotenv file"
        )
    return _parsed(text.replace("\r\n", "\n"), path)


def _parsed(text: str, path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        if skipped := _SKIPPED.match(text, position):
            position = skipped.end()
            continue
        start = _START.match(text, position)
        if start is None:
            raise _invalid(text, position, path, "is not NAME=VALUE")
        value, end = _value(text, start.end(), path)
        rest = _SKIPPED.match(text, end)
        if rest is None:
            raise _invalid(text, end, path, "has text after the closing quote")
        found[start[1]] = value
        position = rest.end()
    return found


def _value(text: str, position: int, path: str) -> tuple[str, int]:
    """Return the value that begins here, and where it ends."""
    line_end = text.find("\n", position)
    line = text[position : line_end if line_end >= 0 else len(text)]
    begin = position + len(line) - len(line.lstrip(" \t"))
    quote = text[begin : begin + 1]
    if quote not in ("'", '"'):
        return _COMMENT.sub("", line).strip(), position + len(line)
    match = (_SINGLE if quote == "'" else _DOUBLE).match(text, begin)
    if match is None:
        raise _invalid(text, begin, path, "has a quote that is not closed")
    value = match[1] if quote == "'" else _ESCAPE.sub(_unescaped, match[1])
    return value, match.end()


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[0])


def _invalid(text: str, position: int, path: str, what: str) -> SettingsError:
    # The line itself is not shown: it may be a secret.
    line = text.count("\n", 0, position) + 1
    return SettingsError(
        f"line {line} of {path!r} {what}",
        hint="write each variable as NAME=VALUE, with quotes around a value of several lines",
    )

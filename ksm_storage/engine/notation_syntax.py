r"""The grammar of Keeper notation.

::

    [keeper://] RECORD / type | title | notes
    [keeper://] RECORD / file / NAME
    [keeper://] RECORD / field | custom_field / NAME [INDEX] [PROPERTY]

RECORD is a uid or a title. In RECORD, NAME and between brackets ``\/ \[ \] \\`` stand for the
characters themselves. The whole may also be url-safe base64 of its text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..wire.base64_forms import from_base64
from .errors import NotationError

_PREFIX = "keeper://"
_PLAIN_SELECTORS = ("type", "title", "notes")
_NAMED_SELECTORS = ("field", "custom_field", "file")

# Any character, the four special ones only behind a backslash, up to a delimiter.
_RECORD = re.compile(r"((?:\\[/\[\]\\]|[^\\/])+)/")
_SELECTOR = re.compile(r"([^/]+)(?:/|$)")
_NAME = re.compile(r"((?:\\[/\[\]\\]|[^\\\[])+)")
_BRACKETS = re.compile(r"\[((?:\\[/\[\]\\]|[^\\\[\]])*)\]")
_ESCAPE = re.compile(r"\\(.)")
# Python refuses to read a number of thousands of digits.
_INDEX = re.compile(r"[0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Notation:
    """Hold a parsed notation.

    Attributes:
        record: Uid or title.
        selector: In lower case.
        parameter: Field type, label, file name or file uid; None for plain selectors.
        index: Between the first brackets: digits, empty, or None without brackets.
        property_name: Between the second brackets, None without them.
    """

    record: str
    selector: str
    parameter: str | None = None
    index: str | None = None
    property_name: str | None = None


def parse_notation(text: str, *, property_first: bool = False) -> Notation:
    """Take a notation apart.

    With ``property_first`` the first brackets may hold a property, as in ``name[first]``.

    Raises:
        NotationError: The text is none.
    """
    plain = _as_text(text)
    start = len(_PREFIX) if plain.lower().startswith(_PREFIX) else 0
    record = _RECORD.match(plain, start)
    selector = _SELECTOR.match(plain, record.end()) if record else None
    if record is None or selector is None:
        raise NotationError("the notation names no record or no selector")
    word = selector[1].lower()
    if word in _PLAIN_SELECTORS:
        if selector.end() < len(plain):
            raise NotationError(f"nothing may follow {word!r} in a notation")
        return Notation(_unescaped(record[1]), word)
    if word not in _NAMED_SELECTORS:
        raise NotationError(
            "the notation's selector is unknown",
            hint=f"one of {', '.join((*_PLAIN_SELECTORS, *_NAMED_SELECTORS))}",
        )
    name, index, property_name = _named(plain, selector.end(), word)
    if index is not None and not _INDEX.fullmatch(index):
        if not property_first:
            raise NotationError("the first brackets of a notation hold a number or nothing")
        index, property_name = "", index if property_name is None else property_name
    return Notation(_unescaped(record[1]), word, name, index, property_name)


def _named(plain: str, position: int, selector: str) -> tuple[str, str | None, str | None]:
    name = _NAME.match(plain, position)
    if name is None:
        raise NotationError(f"{selector!r} needs a name after it in a notation")
    brackets: list[str] = []
    position = name.end()
    while len(brackets) < 2 and (match := _BRACKETS.match(plain, position)):
        brackets.append(_unescaped(match[1]))
        position = match.end()
    if position < len(plain):
        raise NotationError(
            "the notation's brackets or escapes are not complete",
            hint=r"write \/ \[ \] \\ for these characters in a title, label or file name",
        )
    if brackets and selector == "file":
        raise NotationError("a file takes no index in a notation")
    index, property_name = (*brackets, None, None)[:2]
    return _unescaped(name[1]), index, property_name


def _as_text(text: str) -> str:
    if not text or not isinstance(text, str):
        raise NotationError("the notation is empty")
    if "/" in text:
        return text
    try:
        return from_base64(text).decode()
    except ValueError as exc:
        raise NotationError("the notation has no slash and is not base64") from exc


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)

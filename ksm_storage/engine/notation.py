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
from . import late_errors as errors

_PREFIX = "keeper://"
_PLAIN_SELECTORS = ("type", "title", "notes")
_NAMED_SELECTORS = ("field", "custom_field", "file")

# Any character, the four special ones only behind a backslash, up to a delimiter.
_RECORD = re.compile(r"((?:\\[/\[\]\\]|[^\\/])*)/")
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


class NotationSection:
    """Hold one section of a notation as the official package's parser returns it.

    Attributes:
        section: ``prefix``, ``record``, ``selector`` or ``footer``.
        is_present: Whether the notation has it.
        start_pos, end_pos: Its first and last character, -1 for none.
        text, parameter, index1, index2: Pairs of the unescaped and the raw text, or None.
    """

    def __init__(self, section: str) -> None:
        self.section = section
        self.is_present = False
        self.start_pos = -1
        self.end_pos = -1
        self.text: tuple[str, str] | None = None
        self.parameter: tuple[str, str] | None = None
        self.index1: tuple[str, str] | None = None
        self.index2: tuple[str, str] | None = None


def parse_notation(text: str, *, property_first: bool = False) -> Notation:
    """Parse a notation.

    With ``property_first`` the first brackets may hold a property, as in ``name[first]``.

    Raises:
        NotationError: The text is not one.
    """
    plain = _as_text(text)
    start = len(_PREFIX) if plain.lower().startswith(_PREFIX) else 0
    record = _RECORD.match(plain, start)
    selector = _SELECTOR.match(plain, record.end()) if record else None
    if record is None or selector is None:
        raise errors.NotationError(
            "Keeper notation is invalid: the record or the selector is missing"
        )
    word = selector[1].lower()
    if word in _PLAIN_SELECTORS:
        if selector.end() < len(plain):
            raise errors.NotationError(f"Keeper notation is invalid: {word!r} takes no parameter")
        return Notation(_unescaped(record[1]), word)
    if word not in _NAMED_SELECTORS:
        raise errors.NotationError(
            "Keeper notation is invalid: unknown selector",
            hint=f"use one of {', '.join((*_PLAIN_SELECTORS, *_NAMED_SELECTORS))}",
        )
    name, index, property_name = _named(plain, selector.end(), word)
    if index is not None and not _INDEX.fullmatch(index):
        if not property_first:
            raise errors.NotationError(
                "Keeper notation is invalid: the first index must be a number or empty"
            )
        index, property_name = "", index if property_name is None else property_name
    return Notation(_unescaped(record[1]), word, name, index, property_name)


def _named(plain: str, position: int, selector: str) -> tuple[str, str | None, str | None]:
    name = _NAME.match(plain, position)
    if name is None:
        raise errors.NotationError(f"Keeper notation is invalid: {selector!r} requires a name")
    brackets: list[str] = []
    position = name.end()
    while len(brackets) < 2 and (match := _BRACKETS.match(plain, position)):
        brackets.append(_unescaped(match[1]))
        position = match.end()
    if position < len(plain):
        raise errors.NotationError(
            "Keeper notation is invalid: incomplete brackets or escapes",
            hint=r"write \/ \[ \] \\ for these characters in a title, label or file name",
        )
    if brackets and selector == "file":
        raise errors.NotationError("Keeper notation is invalid: a file takes no index")
    index, property_name = (*brackets, None, None)[:2]
    return _unescaped(name[1]), index, property_name


def notation_sections(text: str, *, property_first: bool = False) -> list[NotationSection]:
    """Parse a notation into prefix, record, selector and footer; raise NotationError."""
    parsed = parse_notation(text, property_first=property_first)
    plain = _as_text(text)
    prefix, record, selector, footer = map(
        NotationSection, ("prefix", "record", "selector", "footer")
    )
    start = len(_PREFIX) if plain.lower().startswith(_PREFIX) else 0
    prefix.start_pos = 0
    if start:
        prefix.is_present, prefix.end_pos = True, start - 1
        prefix.text = (plain[:start], plain[:start])
    first = _RECORD.match(plain, start)
    second = _SELECTOR.match(plain, first.end()) if first else None
    if first is None or second is None:
        raise errors.NotationError("Keeper notation is invalid")
    _fill(record, first.start(), first.end(), (parsed.record, first[0]))
    _fill(selector, second.start(), len(plain), (second[1], second[0]))
    if parsed.parameter is not None:
        _fill_parameter(selector, plain[second.end() :], parsed)
    footer.start_pos = len(plain)
    return [prefix, record, selector, footer]


def _fill(section: NotationSection, start: int, end: int, text: tuple[str, str]) -> None:
    section.is_present, section.start_pos, section.end_pos = True, start, end - 1
    section.text = text


def _fill_parameter(selector: NotationSection, text: str, parsed: Notation) -> None:
    name = _NAME.match(text)
    position = name.end() if name else 0
    # The raw text goes up to and including the delimiter.
    selector.parameter = (parsed.parameter or "", text[: position + 1])
    if parsed.index is not None:
        selector.index1 = (parsed.index, f"[{parsed.index}]")
    if parsed.property_name is not None:
        selector.index2 = (parsed.property_name, f"[{parsed.property_name}]")


def _as_text(text: str) -> str:
    if not text or not isinstance(text, str):
        raise errors.NotationError("Keeper notation is missing or not text")
    if "/" in text:
        return text
    try:
        return from_base64(text).decode()
    except ValueError as exc:
        # The first words are the official package's: programs look for them.
        raise errors.NotationError(
            "Invalid format of Keeper notation: neither a URI nor url-safe base64"
        ) from exc


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)

"""The profiles of a ``keeper.ini`` as the official command line writes it."""

from __future__ import annotations

import configparser
import io
from collections.abc import Iterable

from ..errors import SettingsError
from .document import ACTIVE_PROFILE, Document
from .fields import FIELDS, from_ini_name, to_ini_name
from .ini_lines import first_bad_line
from .json_form import InvalidConfigError, decoded_text

_SETTINGS = "_config"
_DEFAULT_PROFILE = "_default"
# The settings that the official command line writes as a name alone where they are not set.
_UNSET = frozenset({"active_profile", "record_type_dir", "editor", "editor_process_name"})


def parse_ini(raw: bytes) -> Document:
    """Parse ``keeper.ini``: one section a profile, ``[_config]`` for the settings.

    A field that is named without a value is not set; the official command line writes it so.

    Raises:
        InvalidConfigError: It is not UTF-8 text, not of the INI form, or has no profile.
    """
    sections = _sections(decoded_text(raw))
    settings = sections.pop(_SETTINGS, {})
    if not sections:
        raise InvalidConfigError("has no profile")
    lowered = {name.lower(): value for name, value in settings.items()}
    if len(lowered) < len(settings):
        raise InvalidConfigError("names a setting twice")
    return Document(sections, lowered)


def format_ini(document: Document) -> bytes:
    """Return the document as ``keeper.ini``; a plain configuration becomes one active profile.

    Raises:
        SettingsError: It holds what the INI form cannot say, such as a value of many lines.
    """
    if document.is_single:
        config = next(iter(document.profiles.values()))
        document = Document({_DEFAULT_PROFILE: config}, {ACTIVE_PROFILE: _DEFAULT_PROFILE})
    text = _written(document)
    # The form has no quotes: only reading it again tells whether all came through.
    if text is None or not _says(text, document):
        raise SettingsError(
            "the configuration cannot be written as keeper.ini without loss",
            hint="write it as JSON",
        )
    return text


class _Parser(configparser.RawConfigParser):
    """Read fields under the SDK's names; RawConfigParser, for "%" in a value means itself."""

    def __init__(self) -> None:
        # No section may lend its values to all others.
        super().__init__(default_section="", strict=True, allow_no_value=True)

    def optionxform(self, optionstr: str) -> str:
        return from_ini_name(optionstr)


class _Writer(configparser.RawConfigParser):
    """Write fields under the names that the official command line gives them."""

    def optionxform(self, optionstr: str) -> str:
        return to_ini_name(optionstr)


def _sections(text: str) -> dict[str, dict[str, str]]:
    if first_bad_line(text) is not None:
        raise InvalidConfigError("is not valid INI") from ValueError("ParsingError")
    parser = _Parser()
    try:
        parser.read_string(text)
        return {name: _with_values(parser.items(name)) for name in parser.sections()}
    # Before Python 3.13 a line that goes on behind a name without value is an AttributeError.
    except (configparser.Error, AttributeError) as exc:
        kind = ValueError(type(exc).__name__)
    # Raised here and not above: the parser's message quotes the line, which may hold a key, and
    # would stay behind as the context of this one.
    raise InvalidConfigError("is not valid INI") from kind


def _with_values(options: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Leave out what the official command line names and has no value for."""
    values: dict[str, str] = {}
    for name, value in options:
        if value is not None:
            values[name] = value
        elif name not in FIELDS and name not in _UNSET:
            raise configparser.ParsingError("keeper.ini")
    return values


def _written(document: Document) -> bytes | None:
    writer = _Writer(default_section="", strict=True)
    text = io.StringIO()
    try:
        if document.settings:
            writer[_SETTINGS] = dict(document.settings)
        for name, config in document.profiles.items():
            writer[name] = dict(config)
        writer.write(text)
        return text.getvalue().encode("utf-8")
    except (configparser.Error, UnicodeEncodeError):
        return None


def _says(text: bytes, document: Document) -> bool:
    # Who reads it as text takes a carriage return for the end of a line.
    try:
        return parse_ini(text.replace(b"\r", b"\n")) == document
    except InvalidConfigError:
        return False

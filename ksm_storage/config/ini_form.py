"""The profiles of a ``keeper.ini`` as the official command line writes it."""

from __future__ import annotations

import configparser
import io
import re
from collections.abc import Mapping

from ..errors import SettingsError
from .document import ACTIVE_PROFILE, Document, InvalidConfigError, decoded_text
from .fields import FIELDS, from_ini_name, to_ini_name

_SETTINGS = "_config"
# The official command line reads the file with a parser that lends these values to each profile.
_DEFAULTS = "DEFAULT"
_DEFAULT_PROFILE = "_default"
# The settings that the official command line writes as a name alone where they are not set.
_UNSET = frozenset({"active_profile", "record_type_dir", "editor", "editor_process_name"})

_HEADER = re.compile(r"\[.+\]")
_DELIMITER = re.compile(r"[=:]")
_MANY_BLANKS = re.compile(r"\s{16}")
_COMMENTS = ("#", ";")


def parse_ini(raw: bytes) -> Document:
    """Parse ``keeper.ini``: one section per profile, ``[_config]`` for the settings.

    A value in ``[DEFAULT]`` belongs to each profile that has none of its own, as in the official
    command line. A field without a value is not set; the official command line writes it so.

    Raises:
        InvalidConfigError: It is not UTF-8 text, not in INI form, or has no profile.
    """
    sections = _sections(decoded_text(raw))
    settings = _with_values(sections.pop(_SETTINGS, {}))
    defaults = sections.pop(_DEFAULTS, {})
    if not sections and defaults:
        raise InvalidConfigError(
            "has a section [DEFAULT] and no profile",
            hint="[DEFAULT] lends its values to other profiles; rename it to [_default]",
        )
    if not sections:
        raise InvalidConfigError("has no profile")
    lowered = {name.lower(): value for name, value in settings.items()}
    if len(lowered) < len(settings):
        raise InvalidConfigError("has a setting twice")
    profiles = {name: _with_values({**defaults, **own}) for name, own in sections.items()}
    return Document(profiles, lowered)


def format_ini(document: Document) -> bytes:
    """Return the document as ``keeper.ini``; a plain configuration becomes one active profile.

    Raises:
        SettingsError: The INI form cannot express it, such as a value of several lines.
    """
    if document.is_single:
        config = next(iter(document.profiles.values()))
        document = Document({_DEFAULT_PROFILE: config}, {ACTIVE_PROFILE: _DEFAULT_PROFILE})
    text = _written(document)
    # The form has no quotes: only reading it back shows whether nothing was lost.
    if text is None or not _says(text, document):
        raise SettingsError(
            "the configuration cannot be written as keeper.ini without loss",
            hint="export it as JSON",
        )
    return text


class _Parser(configparser.RawConfigParser):
    """Read fields under the SDK's names; RawConfigParser, for "%" in a value means itself."""

    def __init__(self) -> None:
        # What [DEFAULT] lends is added by parse_ini, and not to [_config].
        super().__init__(default_section="", strict=True, allow_no_value=True)

    def optionxform(self, optionstr: str) -> str:
        return from_ini_name(optionstr)


class _Writer(configparser.RawConfigParser):
    """Write fields under the names that the official command line gives them."""

    def optionxform(self, optionstr: str) -> str:
        return to_ini_name(optionstr)


def _sections(text: str) -> dict[str, dict[str, str | None]]:
    bad_line = first_bad_line(text)
    if bad_line is not None:
        raise InvalidConfigError(f"is not valid INI (line {bad_line})")
    parser = _Parser()
    try:
        parser.read_string(text)
        return {name: dict(parser.items(name)) for name in parser.sections()}
    except configparser.Error as exc:
        line = getattr(exc, "lineno", None)
    # Before Python 3.13 a continuation after a name without value is an AttributeError.
    except AttributeError:
        line = None
    # Raised here and not above: the parser's message quotes the line, which may hold a key, and
    # would stay behind as the context of this one.
    raise InvalidConfigError("is not valid INI" + (f" (line {line})" if line else ""))


def _with_values(options: Mapping[str, str | None]) -> dict[str, str]:
    """Leave out the names without value that the official command line writes."""
    values: dict[str, str] = {}
    for name, value in options.items():
        if value is not None:
            values[name] = value
        elif name not in FIELDS and name not in _UNSET:
            raise InvalidConfigError("is not valid INI: it has a name without value")
    return values


# The INI parser collects each line that it cannot read in one growing message, and tries every
# split of the blanks before a delimiter: hours for a megabyte that was made for it. Hence these
# two look first.
def first_bad_line(text: str) -> int | None:
    """Return the number of the first line that the parser would reject, or None."""
    indent_of_option: int | None = None
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith(_COMMENTS):
            continue
        indent = len(line) - len(line.lstrip())
        if indent_of_option is not None and indent > indent_of_option:
            # It continues the value of the line before.
            continue
        if _HEADER.match(stripped):
            indent_of_option = None
        elif _is_option(stripped):
            indent_of_option = indent
        else:
            return number
    return None


def _is_option(line: str) -> bool:
    delimiter = _DELIMITER.search(line)
    # A name alone is an option without a value, which the parser accepts.
    name = line if delimiter is None else line[: delimiter.start()].rstrip()
    return bool(name) and not _MANY_BLANKS.search(name)


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
    # Programs that read it as text take a carriage return for a line end.
    try:
        return parse_ini(text.replace(b"\r", b"\n")) == document
    except InvalidConfigError:
        return False

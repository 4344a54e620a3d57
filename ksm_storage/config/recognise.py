"""Recognise by its content which form a configuration has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ..errors import StorageError
from .document import Document
from .fields import FIELDS
from .ini_form import parse_ini
from .json_form import InvalidConfigError, decode_base64, parse_object, string_map


class Form(Enum):
    """Name a form in which a configuration is found; the last is sealed by an official package."""

    JSON = "json"
    BASE64 = "base64"
    INI = "ini"
    OFFICIAL = "official"


@dataclass(frozen=True, slots=True)
class Plain:
    """Hold a plain configuration and the form in which it was found."""

    form: Form
    document: Document


def recognise(raw: bytes, *, name: str) -> Plain:
    """Return the configuration that the bytes of a file hold in the clear.

    Args:
        raw: The content of the file, no envelope.
        name: What the messages call it.

    Raises:
        StorageError: It is empty, sealed by another program, or no Keeper configuration.
    """
    _refuse_special(raw, name)
    try:
        return _parsed(raw)
    except InvalidConfigError as exc:
        raise StorageError(
            f"{name} {exc}",
            hint="a Keeper configuration is a JSON object of strings, the base64 of one, "
            "or a keeper.ini",
        ) from exc.__cause__


def is_plain(raw: bytes) -> bool:
    """Tell whether the bytes are a plain configuration."""
    try:
        _parsed(raw)
    except InvalidConfigError:
        return False
    return True


def _parsed(raw: bytes) -> Plain:
    text = _without_mark(raw)
    if text.startswith(b"{"):
        return Plain(Form.JSON, _single(raw))
    if text.startswith((b"[", b";", b"#")):
        return Plain(Form.INI, _profiles(raw))
    decoded = decode_base64(text)
    if decoded is not None and _without_mark(decoded).startswith(b"{"):
        return Plain(Form.BASE64, _single(decoded))
    if decoded is not None and _without_mark(decoded).startswith(b"["):
        return Plain(Form.BASE64, _profiles(decoded))
    raise InvalidConfigError("is no Keeper configuration")


def _without_mark(raw: bytes) -> bytes:
    return raw.removeprefix(b"\xef\xbb\xbf").lstrip()


def _profiles(raw: bytes) -> Document:
    document = parse_ini(raw)
    if not any(_has_field(config) for config in document.profiles.values()):
        raise InvalidConfigError("has none of the fields of a Keeper configuration")
    return document


def _single(raw: bytes) -> Document:
    content = parse_object(raw)
    # The official command line exports null for what is not set.
    filled = {name: value for name, value in content.items() if value is not None}
    config = string_map(filled or content)
    # The official SDK makes {} of a new file; any other object must look like a configuration,
    # or a slip of the finger would seal package.json.
    if config and not _has_field(config):
        raise InvalidConfigError("has none of the fields of a Keeper configuration")
    return Document.single(config)


def _has_field(config: Mapping[str, object]) -> bool:
    return any(name in config for name in (*FIELDS, "storage"))


def _refuse_special(raw: bytes, name: str) -> None:
    if not raw.strip():
        raise StorageError(
            f"{name} is empty, which is an interrupted save and no configuration",
            hint="restore it from a backup, or remove it and bind again with a new token",
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise StorageError(
            f"{name} is UTF-16 text", hint="save it as UTF-8, then run the command again"
        )
    if raw.startswith((b"\xff\xff", b"\x01\x02")):
        raise StorageError(
            f"{name} is sealed by one of Keeper's own storage packages",
            hint="write the plain configuration with that package, then protect it",
        )

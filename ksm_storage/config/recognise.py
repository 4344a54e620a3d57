"""Recognise by its content the form in which a configuration is found."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ..errors import StorageError
from .document import (
    SOPS_VALUE,
    Document,
    InvalidConfigError,
    decode_base64,
    read_object,
    string_map,
)
from .fields import FIELDS
from .ini_form import parse_ini

# Deeper than any tool wraps: base64 of base64 in a variable, quoted.
_MAX_WRAPPERS = 6

_VARIABLE = b"KSM_CONFIG"
_BLANK = b"\0 \t\r\n"
# Not the padding of base64, which ends a line as an assignment of nothing would.
_ASSIGNMENT = re.compile(
    rb"(?:(?:export|declare\s+-x|set|env|-e|--env|-)\s+|\$env:)?"
    rb"([A-Za-z_][A-Za-z0-9_]*)[ \t]*(?:=|:[ \t])[ \t]*([^\s=].*)",
    re.IGNORECASE | re.DOTALL,
)
# Of fish, csh and Windows.
_COMMAND = re.compile(
    rb"(?:set\s+(?:-\w+\s+)+|setenv\s+|setx\s+)(\w+)\s+(\S.*)", re.IGNORECASE | re.DOTALL
)
_TRAILING_COMMENT = re.compile(rb"\s+#[^\n\"'{}]*\Z")
# What tools call the one member that holds the whole configuration.
_HOLDERS = frozenset({"config", "ksm_config", "ksmconfig", "ksm-config"})
FORMS_HINT = (
    "a Keeper configuration is a JSON object of strings, the base64 of one, or a keeper.ini"
)

# The length of a mechanism's number, where the other packages write that of a wrapped key.
NSHIELD_MAGIC = b"\xff\xff\0\x02"
NSHIELD_HINT = "decrypt it there into a pipe: docs/migration.md, nShield, has the command"


class Form(Enum):
    """Name the form of a configuration; OFFICIAL is encrypted by one of Keeper's packages."""

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
    """Return the configuration that the bytes of a file hold in plain text.

    JSON, base64 and INI are accepted as they are, and also in quotes, as a line ``KSM_CONFIG=...``,
    as ``{"config": "..."}`` and in several layers of base64.

    Args:
        raw: The content of the file, not an envelope.
        name: What the messages call it.

    Raises:
        StorageError: It is empty, encrypted by another program, or not a Keeper configuration.
    """
    # C programs write the NUL that ends their strings.
    raw = raw.rstrip(_BLANK)
    _refuse_special(raw, name)
    try:
        if SOPS_VALUE not in raw:
            return _parsed(raw)
        wrong = InvalidConfigError("")
    except InvalidConfigError as exc:
        wrong = exc
    from .diagnosis import foreign_format

    wrong = foreign_format(raw) or wrong
    raise StorageError(f"{name} {wrong}", hint=wrong.hint or FORMS_HINT)


def is_plain(raw: bytes) -> bool:
    """Tell whether the bytes are a plain configuration."""
    raw = raw.rstrip(_BLANK)
    try:
        _parsed(raw)
    except InvalidConfigError:
        return False
    return True


def refuse_unusable(document: Document, *, name: str) -> None:
    """Refuse a configuration that no client can use: it is empty, or a template.

    Raises:
        StorageError: No profile has a value, or one has a placeholder for a key, or the name of a
            field in another case.
    """
    if not any(document.profiles.values()):
        raise StorageError(
            f"{name} is an empty configuration",
            hint="bind a device into a new sealed file with: ksm-storage init",
        )
    from .diagnosis import unusable

    for config in document.profiles.values():
        if (wrong := unusable(config)) is not None:
            raise StorageError(f"{name} {wrong}", hint=wrong.hint)


def _parsed(raw: bytes, wrappers: int = 0) -> Plain:
    text = raw.removeprefix(b"\xef\xbb\xbf").strip()
    if wrappers > _MAX_WRAPPERS:
        raise InvalidConfigError("is wrapped in too many layers of base64 or quotes")
    if text.startswith(b"{"):
        return _object(raw, wrappers)
    value = _assigned(text) if _VARIABLE in text.upper() else None
    if value is None:
        value = _unquoted(text)
    if value is not None:
        return _parsed(value, wrappers + 1)
    if text.startswith((b"[", b";", b"#")):
        return Plain(Form.INI, _profiles(raw))
    return _decoded(text, wrappers)


def _object(raw: bytes, wrappers: int) -> Plain:
    try:
        content = read_object(raw)
    except InvalidConfigError as exc:
        from .diagnosis import explained_json

        raise explained_json(raw.strip(), exc) from None
    wrapped = next(iter(content.values())) if len(content) == 1 else None
    if wrapped and _HOLDERS.issuperset(map(str.lower, content)):
        inside = wrapped if isinstance(wrapped, str) else json.dumps(wrapped)
        return _parsed(inside.encode("utf-8", errors="replace"), wrappers + 1)
    return Plain(Form.JSON, _single(content))


def _assigned(text: bytes) -> bytes | None:
    """Return the value of ``KSM_CONFIG=...``, the one variable of a file."""
    lines = [line for line in text.splitlines() if line.strip() and not _is_comment(line)]
    names = [match[1].upper() for line in lines if (match := _variable(line))]
    if _VARIABLE not in names:
        return None
    if len(names) > 1:
        raise InvalidConfigError(
            f"sets other variables besides {_VARIABLE.decode()}",
            hint="import its line alone: grep KSM_CONFIG= FILE | "
            "ksm-storage profile import NEW --key URI",
        )
    match = _variable(b"\n".join(lines))
    return None if match is None else _TRAILING_COMMENT.sub(b"", match[2])


def _variable(text: bytes) -> re.Match[bytes] | None:
    text = text.strip()
    return _ASSIGNMENT.match(text) or _COMMAND.match(text)


def _is_comment(line: bytes) -> bool:
    return line.lstrip().startswith((b"#", b";"))


def _unquoted(text: bytes) -> bytes | None:
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b'"', b"'", b"`"):
        return None
    if text[:1] == b'"' and b"\\" in text:
        try:
            unescaped = json.loads(text)
        except (ValueError, RecursionError):
            return text[1:-1]
        return str(unescaped).encode("utf-8", errors="replace")
    return text[1:-1]


def _profiles(raw: bytes) -> Document:
    try:
        document = parse_ini(raw)
    except InvalidConfigError:
        from .diagnosis import explained, is_array

        # Both forms begin with a bracket.
        if is_array(raw):
            raise _array() from None
        if re.search(rb"^\s*\[", raw, re.MULTILINE) is None:
            # After a comment, anything may follow.
            raise explained(raw) from None
        raise
    if not any(_has_field(config) for config in document.profiles.values()):
        from .diagnosis import is_array

        raise _array() if is_array(raw) else _no_field(*document.profiles.values())
    return document


def _single(content: Mapping[str, object]) -> Document:
    # The official command line exports null for what is not set, and some tools write the key id
    # as the number that it looks like.
    filled = {name: value for name, value in content.items() if value is not None}
    key_id = filled.get("serverPublicKeyId")
    if isinstance(key_id, int) and not isinstance(key_id, bool):
        filled["serverPublicKeyId"] = str(key_id)
    if not _has_field(content):
        from .diagnosis import explained_object

        if (wrong := explained_object(dict(content))) is not None:
            raise wrong
    if content and not filled:
        raise InvalidConfigError("is an empty configuration: each field is null")
    config = string_map(filled)
    # The official SDK makes {} of a new file; any other object must look like a configuration,
    # or a typing error would seal package.json.
    if config and not _has_field(config):
        raise _no_field(config)
    return Document.single(config)


def _decoded(text: bytes, wrappers: int) -> Plain:
    decoded = decode_base64(text)
    if decoded:
        try:
            return Plain(Form.BASE64, _parsed(decoded, wrappers + 1).document)
        except InvalidConfigError:
            # Where it was certainly meant to be a configuration, say what is wrong inside.
            if decoded.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[")):
                raise
    from .diagnosis import explained

    raise explained(text)


def _no_field(*profiles: Mapping[str, str]) -> InvalidConfigError:
    from .diagnosis import misnamed

    wrong = next(filter(None, map(misnamed, profiles)), None)
    return wrong or InvalidConfigError("has none of the fields of a Keeper configuration")


def _array() -> InvalidConfigError:
    return InvalidConfigError(
        "is a JSON array, not an object", "a Keeper configuration is one object: take it out of it"
    )


def _has_field(config: Mapping[str, object]) -> bool:
    return any(name in config for name in (*FIELDS, "storage"))


def empty_error(name: str) -> StorageError:
    """Return the error for an empty file where a configuration is expected."""
    return StorageError(
        f"{name} is empty: an interrupted save, not a configuration",
        hint="restore it from a backup, or delete it and bind again with a new token",
    )


def _refuse_special(raw: bytes, name: str) -> None:
    if not raw.removeprefix(b"\xef\xbb\xbf").strip(_BLANK):
        raise empty_error(name)
    if b"\0" in raw[:4] or raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        from .diagnosis import other_encoding

        if (encoding := other_encoding(raw)) is not None:
            raise StorageError(
                f"{name} is {encoding} text", hint="save it as UTF-8, then run the command again"
            )
    if raw.startswith(NSHIELD_MAGIC):
        raise StorageError(f"{name} was sealed by Keeper's nShield package", hint=NSHIELD_HINT)
    if raw.startswith((b"\xff\xff", b"\x01\x02")):
        raise StorageError(
            f"{name} was encrypted by one of Keeper's own storage packages",
            hint="give the key that opens it: ksm-storage protect FILE --from-key URI --key URI",
        )

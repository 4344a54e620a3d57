"""References to secrets, in variables and in text: ``keeper://RECORD/field/NAME:-DEFAULT|TRANSFORM``.

Text may hold two forms: ``{{ keeper://... }}``, which may hold blanks, and a bare ``keeper://...``
as the official ``ksm interpolate`` finds it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import KsmStorageError, SettingsError
from .options import shown_time
from .output import echo_err
from .process import current_process

if TYPE_CHECKING:
    from ..engine import SecretsManager
    from ..engine.record_list import RecordList

PREFIX = "keeper://"

_SURROGATE = re.compile("[\ud800-\udfff]")
_BRACED = re.compile(r"\{\{\s*(keeper://.*?)\s*\}\}")
# Where the official one ends: at a blank, a quote, "#" or "@", so that an address may follow.
_BARE = re.compile(
    r"keeper://[^\s/]+/[^\s/]+/[^\"'\n#:|@\s]+(?::-[^|\"'\n#@\s]+)?(?:\|[^\s\"'\n#@]+)?"
)
_PARTS = re.compile(r"(?s)(keeper://.*?)(?::-(.*?))?((?:\|[a-z0-9]+)*)")


def _raw(text: str) -> bytes:
    # A default may hold bytes that are not UTF-8, from a template or the environment: they come
    # out as they went in.
    return text.encode("utf-8", errors="surrogateescape")


# Those that also take a file which is not text.
_OF_BYTES: Mapping[str, Callable[[bytes], str]] = {
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
    "md5": lambda raw: hashlib.md5(raw, usedforsecurity=False).hexdigest(),
    "sha256": lambda raw: hashlib.sha256(raw).hexdigest(),
    "urlencode": urllib.parse.quote,
    "urlencodeplus": urllib.parse.quote_plus,
}


def _on_text(of_bytes: Callable[[bytes], str]) -> Callable[[str], str]:
    return lambda text: of_bytes(_raw(text))


TRANSFORMS: Mapping[str, Callable[[str], str]] = {
    **{name: _on_text(of_bytes) for name, of_bytes in _OF_BYTES.items()},
    "lower": str.lower,
    "trim": str.strip,
    "upper": str.upper,
}


@dataclass(frozen=True, slots=True)
class Reference:
    """Hold the parts of a reference.

    Attributes:
        notation: The Keeper notation, which names a secret but does not contain it.
        default: The text to use if the value does not exist; None makes that an error.
        transforms: What is done to the value, in this order.
    """

    notation: str
    default: str | None = field(default=None, repr=False)
    transforms: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse a reference.

        Raises:
            SettingsError: It names an unknown transformation, or is not Keeper notation.
        """
        from ..engine.notation import parse_notation

        match = _PARTS.fullmatch(text.strip())
        if match is None:
            raise SettingsError("not a keeper:// reference (not shown: it may be a secret)")
        transforms = tuple(match[3].split("|")[1:])
        for name in transforms:
            if name not in TRANSFORMS:
                raise SettingsError(
                    f"unknown transformation {name!r} in {match[1]!r}",
                    hint=f"use one of {', '.join(sorted(TRANSFORMS))}",
                )
        try:
            parse_notation(match[1], property_first=True)
        except KsmStorageError as exc:
            _name_reference(exc, match[1], None)
            raise
        return cls(match[1], match[2], transforms)


class Resolver:
    """Resolve references with one request for all of them.

    Args:
        manager: The client, which has sent nothing yet.
        uids: The only records to ask for, as ``named_uids`` returns them; None for all.
    """

    def __init__(self, manager: SecretsManager, uids: Sequence[str] | None) -> None:
        from ..engine.notation_lookup import NotationLookup, OneRequest

        self._lookup = NotationLookup(OneRequest(_Announcing(manager), uids).fetch)

    def content(self, reference: Reference, *, name: str | None = None) -> bytes:
        """Return the value of a reference as bytes, a file as it is.

        Args:
            reference: What to resolve.
            name: What wants the value, for messages.

        Raises:
            KsmStorageError: It has no value, and no default; the message names the reference.
        """
        value = self._value(reference, name)
        return _raw(value) if isinstance(value, str) else value

    def text(self, reference: Reference, *, name: str | None = None) -> str:
        """Return the value of a reference as text; see :meth:`content`."""
        return _as_text(self._value(reference, name), reference.notation)

    def _value(self, reference: Reference, name: str | None) -> str | bytes:
        from ..engine.transport import run

        try:
            value = run(self._lookup.single(reference.notation))
        except KsmStorageError as exc:
            from ..engine import SecretNotFoundError

            if reference.default is None or not isinstance(exc, SecretNotFoundError):
                _name_reference(exc, reference.notation, name)
                raise
            value = None
        if value in (None, "", []):
            value = reference.default
        elif not isinstance(value, bytes):
            value = text_of(value, reference.notation)
        if value is None:
            raise _no_value(reference.notation, name)
        transforms = reference.transforms
        if isinstance(value, bytes):
            if not transforms:
                return value
            if of_bytes := _OF_BYTES.get(transforms[0]):
                value, transforms = of_bytes(value), transforms[1:]
        text = _as_text(value, reference.notation)
        for transform in transforms:
            text = TRANSFORMS[transform](text)
        return text

    def render(self, template: str, *, name: str | None = None, bare: bool = True) -> str:
        """Return a text with the value of each reference in its place; see :func:`references_in`.

        Raises:
            KsmStorageError: As for :meth:`content`.
        """

        def value(match: re.Match[str]) -> str:
            return self.text(Reference.parse(match[match.lastindex or 0]), name=name)

        lines = template.split("\n")
        return "\n".join(_substituted(line, value, bare=bare) for line in lines)


class _Announcing:
    """Ask through the client, and say when the answer comes from the offline copy."""

    def __init__(self, manager: SecretsManager) -> None:
        self._manager = manager

    def get_secrets(self, uids: Sequence[str] | str | None = None, /) -> RecordList:
        with current_process().waiting("the Keeper server"):
            if uids is not None:
                return self._manager.get_secrets(uids)
            response = self._manager.get_secrets(full_response=True)
        if response.offline_since is not None:
            # The program starts with values that may have been changed since.
            since = shown_time(round(response.offline_since.timestamp() * 1000))
            echo_err(f"warning: the server is unreachable; the values are from {since}")
        return response.records


def references_in(template: str, *, bare: bool = True) -> list[Reference]:
    """Return the references in a text: ``{{ keeper://... }}`` and, if asked for, bare ones.

    A bare reference in a line that begins with ``#`` is a comment, and left alone.
    """
    found: list[Reference] = []

    def collect(match: re.Match[str]) -> str:
        found.append(Reference.parse(match[match.lastindex or 0]))
        return ""

    for line in template.split("\n"):
        _substituted(line, collect, bare=bare)
    return found


def _substituted(line: str, value: Callable[[re.Match[str]], str], *, bare: bool) -> str:
    # In one pass: a value that looks like a reference is not replaced again.
    if not bare or line.lstrip().startswith("#"):
        return _BRACED.sub(value, line)
    return re.sub(f"{_BRACED.pattern}|{_BARE.pattern}", value, line)


def text_of(value: object, name: str) -> str:
    """Return a value of a record as text, what is not a string as JSON.

    Raises:
        ServerAnswerError: It contains half of a surrogate pair, which no encoding can write.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if _SURROGATE.search(text):
        from ..engine import ServerAnswerError

        raise ServerAnswerError(
            f"the value of {name!r} contains half of a surrogate pair",
            hint="correct it in the vault; 'secret get' with --json --reveal shows it escaped",
        )
    return text


def _as_text(value: str | bytes, notation: str) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise SettingsError(
            f"the file {notation!r} is not UTF-8 text",
            hint="pass it to a program with --file, or add |base64",
        ) from None


def _name_reference(exc: KsmStorageError, notation: str, name: str | None) -> None:
    where = f"cannot resolve {notation!r}" + (f" for {name}" if name else "")
    exc.message = f"{where}: {exc.message}"


def _no_value(notation: str, name: str | None) -> KsmStorageError:
    from ..engine import SecretNotFoundError

    exc = SecretNotFoundError("the field is empty", hint="add a default, as in NOTATION:-DEFAULT")
    _name_reference(exc, notation, name)
    return exc

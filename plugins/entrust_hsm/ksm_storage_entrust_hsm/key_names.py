"""The name of a PKCS #11 key: the path of an RFC 7512 URI, ``token=...;object=...;id=%01``."""

from __future__ import annotations

from typing import NamedTuple

from ksm_storage import plugin as kit

SECRET_KEY = "secret-key"  # noqa: S105  # RFC 7512's word for a symmetric key
PRIVATE = "private"

_EXAMPLE = "write pkcs11://token=LABEL;object=LABEL, or pkcs11://serial=SERIAL;id=%01%02"
# RFC 7512, 2.3: what may stand unescaped in a path attribute.
_UNESCAPED = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:[]@!$'()*+,=&"
)
_HEX = frozenset("0123456789abcdefABCDEF")


class KeyName(NamedTuple):
    """Name one key by attributes of its token and of itself, all of which must match.

    Attributes:
        token, serial, manufacturer, model: Those of the token.
        object: The label of the key (``CKA_LABEL``).
        id: The bytes of its ``CKA_ID``.
        type: ``secret-key`` or ``private``; the public half of a pair goes by the private one.
    """

    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    object: str | None = None
    id: bytes | None = None
    type: str | None = None

    @classmethod
    def parse(cls, text: str) -> KeyName:
        """Read the path of an RFC 7512 URI.

        Raises:
            SettingsError: An attribute is unknown, doubled, empty or malformed; there is a query,
                which could configure code; or neither ``object`` nor ``id`` is given.
        """
        path, query, _ = text.partition("?")
        if query:
            # The query is not repeated: it may hold a PIN.
            raise kit.SettingsError(
                "the name of a PKCS #11 key must be without a query",
                hint="set the library and the PIN with the options 'module' and 'pin', 'pin_file' "
                "or 'pin_fd'",
                key=f"pkcs11://{path}",
            )
        given: dict[str, str | bytes] = {}
        for part in path.split(";"):
            name, separator, value = part.partition("=")
            if not separator or name in given:
                raise kit.SettingsError(f"not a valid PKCS #11 key: {text!r}", hint=_EXAMPLE)
            given[name] = _read_value(name, value)
        if not given.keys() & {"object", "id"}:
            raise kit.SettingsError(
                f"the attribute 'object' or 'id' is missing in {text!r}", hint=_EXAMPLE
            )
        return cls(**given)  # type: ignore[arg-type]  # _read_value gives each its type

    def covers(self, other: KeyName) -> bool:
        """Tell whether each attribute of this name is one of the other's."""
        return all(getattr(self, each) in (None, getattr(other, each)) for each in self._fields)

    def of_token(self) -> KeyName:
        """Return what the name says about the token."""
        return self._replace(object=None, id=None, type=None)

    def __str__(self) -> str:
        """Write the name in its one canonical form."""
        parts = [
            f"{each}={_escaped(getattr(self, each))}"
            for each in self._fields
            if getattr(self, each) is not None
        ]
        return ";".join(parts)


def covers(trusted: str, key_id: str) -> bool:
    """Tell whether a trusted name may stand for a recorded one; a malformed one never does."""
    try:
        return KeyName.parse(trusted).covers(KeyName.parse(key_id))
    except kit.SettingsError:
        return False


def _read_value(name: str, value: str) -> str | bytes:
    if name not in KeyName._fields:
        raise kit.SettingsError(
            f"unknown attribute {name!r} in the name of a PKCS #11 key",
            hint=f"the attributes are: {', '.join(KeyName._fields)}",
        )
    raw = _unescaped(name, value)
    if name == "id":
        return raw
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise kit.SettingsError(
            f"the attribute {name!r} of a PKCS #11 key is not UTF-8",
            hint="percent-encode its UTF-8 bytes, or name the key by its 'id'",
        ) from exc
    if name == "type" and text not in (SECRET_KEY, PRIVATE):
        raise kit.SettingsError(
            f"a PKCS #11 object of type {text!r} cannot unwrap",
            hint=f"use {SECRET_KEY!r}, or {PRIVATE!r} for a key pair",
        )
    return text


def _unescaped(name: str, value: str) -> bytes:
    first, *pieces = value.split("%")
    if not value or any(len(each) < 2 or not _HEX.issuperset(each[:2]) for each in pieces):
        raise kit.SettingsError(
            f"the attribute {name!r} of a PKCS #11 key is empty or not percent-encoded",
            hint="write other bytes as % and two hexadecimal digits, as in id=%01%AB",
        )
    rest = (bytes.fromhex(each[:2]) + each[2:].encode() for each in pieces)
    return b"".join((first.encode(), *rest))


def _escaped(value: str | bytes) -> str:
    if isinstance(value, bytes):
        # Every byte, as RFC 7512 recommends for an id: it is not text.
        return "".join(f"%{byte:02X}" for byte in value)
    return "".join(
        chr(byte) if byte in _UNESCAPED else f"%{byte:02X}" for byte in value.encode("utf-8")
    )

"""One-time access tokens in every form that they are handed out in."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import SettingsError
from ..wire.base64_forms import from_base64, to_url_safe
from ..wire.ecies import load_public_point
from ..wire.identity import client_id_from_token, token_bytes
from .regions import HOSTS, host_of

_EMBEDS_SERVER_KEY = "IL5"


@dataclass(frozen=True, slots=True)
class OneTimeToken:
    """Hold a token that was taken apart.

    Attributes:
        secret: The 32 bytes; not in the repr.
        host: Where to redeem it.
        server_public_key_id, server_public_key: Embedded in tokens of isolated regions.
    """

    secret: bytes = field(repr=False)
    host: str
    server_public_key_id: str | None = None
    server_public_key: str | None = None

    @property
    def client_id(self) -> str:
        """Return the client id that this token becomes."""
        return client_id_from_token(self.secret)

    @property
    def client_key(self) -> str:
        """Return the token as the configuration keeps it until it is redeemed."""
        return to_url_safe(self.secret)


def parse_token(text: str, *, hostname: str | None = None) -> OneTimeToken:
    """Take apart ``CODE:TOKEN``, ``HOST[:PORT]:TOKEN``, ``IL5:TOKEN:ID:KEY`` or a bare token.

    A host in the token wins over ``hostname``.

    Raises:
        SettingsError: None of these forms; the message never repeats the token.
    """
    parts = text.strip().split(":")
    if parts[0].upper() == _EMBEDS_SERVER_KEY and len(parts) > 2:
        return _parse_with_server_key(parts)
    host, _, secret = text.strip().rpartition(":")
    if parts[0].upper() in HOSTS and len(parts) > 2:
        raise SettingsError("the one-time token has more parts than its region allows")
    if not host and not hostname:
        raise SettingsError(
            "the one-time token names no server",
            hint="put the region before it, as in US:TOKEN, or give a hostname",
        )
    return OneTimeToken(_secret_of(secret), host_of(host or hostname or ""))


def _parse_with_server_key(parts: list[str]) -> OneTimeToken:
    if len(parts) != 4 or not all(parts):
        raise SettingsError(
            "an IL5 one-time token with a server key has four parts",
            hint="the form is IL5:TOKEN:KEY_ID:SERVER_PUBLIC_KEY",
        )
    code, secret, key_id, key = parts
    check_public_key(key)
    return OneTimeToken(_secret_of(secret), host_of(code), key_id, key)


def check_public_key(text: str) -> bytes:
    """Return the point of a server public key in base64; raise SettingsError if it is none."""
    try:
        point = from_base64(text)
        load_public_point(point)
    except ValueError as exc:
        raise SettingsError(
            "the server public key is not a point of P-256 in base64",
            hint="copy the whole key: 87 characters without padding",
        ) from exc
    return point


def _secret_of(text: str) -> bytes:
    try:
        return token_bytes(text)
    except ValueError as exc:
        raise SettingsError(
            "the one-time token is not 32 bytes in base64",
            hint="copy the whole token: 43 characters after the last colon",
        ) from exc

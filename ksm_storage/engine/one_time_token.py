"""One-time access tokens in every form that they are handed out in."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..wire.base64_forms import from_base64, to_url_safe
from ..wire.keys import TOKEN_BYTES, client_id_from_token
from . import late_errors as errors
from .device import HOSTS, check_public_key, host_of

_EMBEDS_SERVER_KEY = "IL5"


@dataclass(frozen=True, slots=True)
class OneTimeToken:
    """Hold a parsed token.

    Attributes:
        secret: What it decodes to, 32 bytes if it is whole; not in the repr.
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
    """Parse ``CODE:TOKEN``, ``HOST[:PORT]:TOKEN``, ``IL5:TOKEN:ID:KEY`` or a bare token.

    A host in the token wins over ``hostname``. The length of the token is not checked here:
    :func:`check_length` does that before it is redeemed.

    Raises:
        ClientSettingsError: None of these forms; the message never repeats the token.
    """
    parts = text.strip().split(":")
    if parts[0].upper() == _EMBEDS_SERVER_KEY and len(parts) > 2:
        return _parse_with_server_key(parts)
    host, _, secret = text.strip().rpartition(":")
    if parts[0].upper() in HOSTS and len(parts) > 2:
        raise errors.ClientSettingsError(
            "the one-time token has too many parts", hint="the form is REGION:TOKEN"
        )
    if not host and not hostname:
        raise errors.ClientSettingsError(
            "the hostname must be present in the token or passed as hostname",
            hint="put the region before the token, as in US:TOKEN",
        )
    return OneTimeToken(_secret_of(secret), host_of(host or hostname or ""))


def check_length(secret: bytes) -> None:
    """Raise ClientSettingsError for a token that was not copied as a whole."""
    if len(secret) != TOKEN_BYTES:
        raise errors.ClientSettingsError(
            f"cannot get the 'appKey': the One-Time Token is not {TOKEN_BYTES} bytes in base64",
            hint="copy the whole token: 43 characters after the last colon",
        )


def _parse_with_server_key(parts: list[str]) -> OneTimeToken:
    if len(parts) != 4 or not all(parts):
        raise errors.ClientSettingsError(
            "an IL5 one-time token with a server key must have four parts",
            hint="the form is IL5:TOKEN:KEY_ID:SERVER_PUBLIC_KEY",
        )
    code, secret, key_id, key = parts
    check_public_key(key)
    return OneTimeToken(_secret_of(secret), host_of(code), key_id, key)


def _secret_of(text: str) -> bytes:
    try:
        secret = from_base64(text)
    except ValueError as exc:
        raise errors.ClientSettingsError(
            "the one-time token is not base64",
            hint="copy the whole token: 43 characters after the last colon",
        ) from exc
    if not secret:
        raise errors.ClientSettingsError("the one-time token is empty")
    return secret

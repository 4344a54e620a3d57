"""Whether a client device may ask."""

from __future__ import annotations

import hmac
from typing import Protocol, TypeVar

from ..wire.api_errors import (
    ACCESS_EXPIRED,
    ADDRESS_REFUSED,
    CLIENT_REVOKED,
    CLIENT_UNKNOWN,
    TOKEN_EXPIRED,
    TOKEN_REDEEMED,
)
from .requests import OpenedRequest, public_point, rejected


class Admissible(Protocol):
    """Name what a server knows of a device; times in milliseconds, None where it never happened."""

    @property
    def public_point(self) -> bytes | None:
        """The device's public key, once it is bound."""

    @property
    def encrypted_app_key(self) -> bytes | None:
        """The application key under the one-time token, until the device has received it."""

    @property
    def address_locked(self) -> bool:
        """Whether the device may use one address only."""

    @property
    def address(self) -> str | None:
        """That address, once it is known."""

    @property
    def token_expires_at(self) -> int:
        """When the one-time token expires."""

    @property
    def access_expires_at(self) -> int | None:
        """When the access expires."""

    @property
    def revoked_at(self) -> int | None:
        """When it was revoked."""


_Device = TypeVar("_Device", bound=Admissible)


def admit(client: _Device | None, opened: OpenedRequest, *, address: str, now: int) -> _Device:
    """Return the device when it may ask; its signature is checked before anything is revealed.

    Raises:
        RequestRejected: Unknown client, invalid signature, or a state with an error of its own.
    """
    if client is None:
        raise rejected(CLIENT_UNKNOWN)
    presented = public_point(opened.payload)
    # A device that binds proves that it has the private half of the key it presents; whether
    # that is the right key is decided afterwards.
    opened.check_signature(presented or client.public_point)
    check_access(client, address=address, now=now)
    if presented is not None:
        _check_token(client, presented, now=now)
    return client


def check_access(client: Admissible, *, address: str, now: int) -> None:
    """Reject a device that was revoked, whose access expired, or at another address."""
    if client.revoked_at is not None:
        raise rejected(CLIENT_REVOKED)
    if client.access_expires_at is not None and now >= client.access_expires_at:
        raise rejected(ACCESS_EXPIRED)
    if client.address_locked and client.address not in (None, address):
        raise rejected(ADDRESS_REFUSED)


def _check_token(client: Admissible, presented: bytes, *, now: int) -> None:
    if client.public_point is not None:
        same = hmac.compare_digest(client.public_point, presented)
        # Without the wrapped application key the first answer is known to have arrived.
        if not same or client.encrypted_app_key is None:
            raise rejected(TOKEN_REDEEMED)
    if now >= client.token_expires_at:
        raise rejected(TOKEN_EXPIRED)

"""Whether a request comes from a device that may ask."""

from __future__ import annotations

import hmac

from ...wire.api_errors import (
    ACCESS_EXPIRED,
    ADDRESS_REFUSED,
    CLIENT_REVOKED,
    CLIENT_UNKNOWN,
    SIGNATURE_INVALID,
    TOKEN_EXPIRED,
    TOKEN_REDEEMED,
)
from ...wire.ecies import load_public_point
from ...wire.signed_request import verify
from ..client_row import ClientRow
from .payload import public_point
from .refused import refused
from .request_opening import OpenedRequest


def admit(client: ClientRow | None, opened: OpenedRequest, *, address: str, now: int) -> ClientRow:
    """Return the device when it may ask; its signature is checked before anything is told of it.

    Raises:
        Refused: Unknown client, wrong signature, and then each state with a refusal of its own.
    """
    if client is None:
        raise refused(CLIENT_UNKNOWN)
    presented = public_point(opened.payload)
    _check_signature(client, presented, opened)
    _check_state(client, address=address, now=now)
    if presented is not None:
        _check_token(client, presented, now=now)
    return client


def check_address(client: ClientRow, address: str) -> None:
    """Refuse a device that is locked to another address."""
    if client.address_locked and client.address not in (None, address):
        raise refused(ADDRESS_REFUSED)


def check_life(client: ClientRow, *, now: int) -> None:
    """Refuse a device that was revoked or whose access is over."""
    if client.revoked_at is not None:
        raise refused(CLIENT_REVOKED)
    if client.access_expires_at is not None and now >= client.access_expires_at:
        raise refused(ACCESS_EXPIRED)


def _check_signature(client: ClientRow, presented: bytes | None, opened: OpenedRequest) -> None:
    # A device that binds proves that it has the private half of the key it presents; whether
    # that is the right key is decided afterwards.
    point = presented or client.public_point
    if point is None:
        raise refused(CLIENT_UNKNOWN, reason="the client device is not bound")
    if not verify(
        load_public_point(point),
        opened.signed.signature,
        transmission_key=opened.signed.transmission_key,
        body=opened.signed.body,
    ):
        raise refused(SIGNATURE_INVALID)


def _check_state(client: ClientRow, *, address: str, now: int) -> None:
    check_life(client, now=now)
    check_address(client, address)


def _check_token(client: ClientRow, presented: bytes, *, now: int) -> None:
    if client.public_point is not None:
        same = hmac.compare_digest(client.public_point, presented)
        # Without the wrapped application key the first answer is known to have arrived.
        if not same or client.encrypted_app_key is None:
            raise refused(TOKEN_REDEEMED)
    if now >= client.token_expires_at:
        raise refused(TOKEN_EXPIRED)

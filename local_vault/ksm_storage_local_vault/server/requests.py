"""Read a request before its sender is trusted; reject one that is malformed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from ksm_storage.errors import DecryptionError
from ksm_storage.wire.aes import KEY_BYTES, gcm_open
from ksm_storage.wire.answers import ErrorAnswer
from ksm_storage.wire.api_errors import (
    ACCESS_DENIED,
    BAD_REQUEST,
    CLIENT_VERSION_REFUSED,
    REQUEST_MALFORMED,
    ApiError,
    key_change,
)
from ksm_storage.wire.base64_forms import from_base64
from ksm_storage.wire.ecies import ecies_open, load_public_point
from ksm_storage.wire.signed_request import SignedRequest, read_request

# Two letters for the kind of client, then its release: "mp17.3.0".
VERSION_FORM = re.compile(r"[a-z]{2}([0-9]{1,4})\.[0-9]{1,4}\.[0-9]{1,4}[a-z0-9.+-]{0,20}")
OLDEST_VERSION = 16


@dataclass(frozen=True, slots=True)
class OpenedRequest:
    """Hold a request whose payload could be read; its signature is not checked yet."""

    signed: SignedRequest
    transmission_key: bytes
    payload: Payload

    @property
    def client_id(self) -> str:
        """Who the request says it comes from."""
        return text(self.payload, "clientId")

    @property
    def digest(self) -> bytes:
        """What tells this request from every other one: a client never wraps a key twice."""
        return hashlib.sha256(self.signed.transmission_key).digest()


def read_signed(headers: Mapping[str, str], body: bytes) -> SignedRequest:
    """Return the parts of the request; refuse headers that are missing or malformed."""
    try:
        return read_request(headers, body)
    except ValueError as exc:
        raise malformed("a header of the protocol is missing or malformed") from exc


def refuse_other_key(signed: SignedRequest, current_key_id: str) -> None:
    """Ask for the current server key when the client used another one."""
    if signed.public_key_id != current_key_id:
        raise RequestRejected(403, key_change(current_key_id))


def open_request(
    signed: SignedRequest, server_private_key: ec.EllipticCurvePrivateKey
) -> OpenedRequest:
    """Open transmission key and payload, and check the client's version."""
    try:
        key = ecies_open(server_private_key, signed.transmission_key)
        if len(key) != KEY_BYTES:
            raise malformed("the transmission key does not have 32 bytes")
        plaintext = gcm_open(key, signed.body)
    except DecryptionError as exc:
        # Never another request for a key: a client that pinned a wrong key would ask for ever.
        raise malformed("the request does not open with the named server key") from exc
    opened = OpenedRequest(signed, key, parse_payload(plaintext))
    _check_version(text(opened.payload, "clientVersion"))
    return opened


def _check_version(version: str) -> None:
    found = VERSION_FORM.fullmatch(version)
    if found is None or int(found.group(1)) < OLDEST_VERSION:
        raise rejected(CLIENT_VERSION_REFUSED, reason="invalid client version id")


Payload = dict[str, object]

UID_FORM = re.compile(r"[A-Za-z0-9_-]{20,24}")


def parse_payload(plaintext: bytes) -> Payload:
    """Return the payload of a request; refuse what is not a JSON object."""
    try:
        payload = json.loads(plaintext)
    except (ValueError, RecursionError) as exc:
        raise malformed("the payload is not JSON") from exc
    if not isinstance(payload, dict):
        raise malformed("the payload is not a JSON object")
    return payload


def text(payload: Payload, name: str) -> str:
    """Return a text that must be there."""
    value = payload.get(name)
    # Nothing in the protocol needs more than ASCII, and a lone surrogate would end in SQLite.
    if not isinstance(value, str) or not value or not value.isascii():
        raise malformed(f"{name} is missing or not a text")
    return value


def uid(payload: Payload, name: str) -> str:
    """Return a uid that must be there."""
    return _checked_uid(text(payload, name), name)


def optional_uid(payload: Payload, name: str) -> str | None:
    """Return a uid, or None where the field is absent, null or empty."""
    return uid(payload, name) if payload.get(name) else None


def uids(payload: Payload, name: str) -> list[str]:
    """Return a list of uids; absent, null and empty are the same."""
    value = payload.get(name) or []
    if not isinstance(value, list) or not all(_is_ascii(item) for item in value):
        raise malformed(f"{name} is not a list of texts")
    return value


def number(payload: Payload, name: str) -> int:
    """Return a whole number that must be there."""
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise malformed(f"{name} is missing or not a number")
    return value


def sealed(payload: Payload, name: str) -> bytes:
    """Return the bytes of a base64 field that must be there."""
    try:
        return from_base64(text(payload, name))
    except ValueError as exc:
        raise malformed(f"{name} is not base64") from exc


def public_point(payload: Payload) -> bytes | None:
    """Return the public key of a device that binds, or None when it does not."""
    if not payload.get("publicKey"):
        return None
    point = sealed(payload, "publicKey")
    try:
        load_public_point(point)
    except ValueError as exc:
        raise malformed("publicKey is not a point of P-256") from exc
    return point


def _is_ascii(item: object) -> bool:
    return isinstance(item, str) and item.isascii()


def _checked_uid(value: str, name: str) -> str:
    if not UID_FORM.fullmatch(value):
        raise malformed(f"{name} is not a uid")
    return value


# Refusals that only a vault makes; the service is not known to have them.
REPLAYED = ApiError(403, ACCESS_DENIED, "Request was received before")
ALREADY_EXISTS = ApiError(409, BAD_REQUEST, "Object exists already")
TRANSACTION_UNKNOWN = ApiError(404, "not_found", "Record has no open transaction")
TRANSACTION_OPEN = ApiError(409, "out_of_sync", "Record has an open transaction")
BODY_TOO_LARGE = ApiError(413, BAD_REQUEST, "Request is too large")


class RequestRejected(Exception):  # noqa: N818 - an answer, not an error of this program
    """End a request with a refusal.

    Attributes:
        status: The HTTP status.
        body: The JSON that goes with it, without the parts that every refusal has.
        reason: A detail for the developer at the other end; never a value from the request.
    """

    def __init__(self, status: int, body: ErrorAnswer, *, reason: str | None = None) -> None:
        super().__init__(body.get("message", ""))
        self.status = status
        self.body = body
        self.reason = reason


def rejected(refusal: ApiError, *, reason: str | None = None) -> RequestRejected:
    """Return the exception for one of the refusals of the wire format."""
    return RequestRejected(refusal.status, refusal.answer(), reason=reason)


def malformed(reason: str) -> RequestRejected:
    """Return the exception for a request that is not of its form."""
    return rejected(REQUEST_MALFORMED, reason=reason)

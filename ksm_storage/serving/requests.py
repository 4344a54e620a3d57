"""Read a request before its sender is trusted; reject one that is malformed or was repeated."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec

from ..errors import DecryptionError
from ..wire.aes import KEY_BYTES, gcm_open
from ..wire.answers import ErrorAnswer
from ..wire.api_errors import (
    ACCESS_DENIED,
    CLIENT_UNKNOWN,
    CLIENT_VERSION_REFUSED,
    REQUEST_MALFORMED,
    SIGNATURE_INVALID,
    ApiError,
)
from ..wire.base64_forms import from_base64
from ..wire.json_objects import NotAnObjectError, parse_object
from ..wire.keys import ecies_open, load_public_point
from ..wire.signed_request import SignedRequest, read_request, verify

Payload = dict[str, object]

REPLAYED = ApiError(403, ACCESS_DENIED, "Request was received before")

# Two letters for the kind of client, then its release: "mp17.3.0".
_VERSION_FORM = re.compile(r"[a-z]{2}([0-9]{1,4})\.[0-9]{1,4}\.[0-9]{1,4}[a-z0-9.+-]{0,20}")
_MIN_VERSION = 16
_UID_FORM = re.compile(r"[A-Za-z0-9_-]{20,24}")
_WINDOW_SECONDS = 3600
MAX_REMEMBERED = 100_000
# Of the digest; so many are enough to tell requests apart, and take 10 MB at most.
_REMEMBERED_BYTES = 16


class RequestRejected(Exception):  # noqa: N818 - an answer, not an error of this program
    """End a request with an error answer.

    Attributes:
        status: The HTTP status.
        body: The JSON that goes with it, without the parts that every error has.
        error: Which error of the API it is, or None where its body depends on the request.
        reason: A detail for the developer at the other end; never a value from the request.
    """

    def __init__(
        self,
        status: int,
        body: ErrorAnswer,
        *,
        error: ApiError | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(body.get("message", ""))
        self.status = status
        self.body = body
        self.error = error
        self.reason = reason


def rejected(error: ApiError, *, reason: str | None = None) -> RequestRejected:
    """Return the exception that answers with this error of the API."""
    return RequestRejected(error.status, error.answer(), error=error, reason=reason)


def malformed(reason: str) -> RequestRejected:
    """Return the exception for a request that does not have its form."""
    return rejected(REQUEST_MALFORMED, reason=reason)


@dataclass(frozen=True, slots=True)
class OpenedRequest:
    """Hold a request whose payload could be read; its signature is not checked yet."""

    signed: SignedRequest
    transmission_key: bytes
    payload: Payload
    _verified: set[bytes] = field(default_factory=set)

    @property
    def client_id(self) -> str:
        """The client id that the request claims."""
        return text(self.payload, "clientId")

    @property
    def digest(self) -> bytes:
        """What tells this request from every other one: a client never wraps a key twice."""
        return hashlib.sha256(self.signed.transmission_key).digest()

    def check_signature(self, point: bytes | None) -> None:
        """Reject the request unless the private half of this public key signed it."""
        if point is None:
            raise rejected(CLIENT_UNKNOWN, reason="the client device is not bound")
        # A server may admit twice, around what it waits for; the signature stays what it was.
        if point in self._verified:
            return
        if not verify(
            _device_key(point),
            self.signed.signature,
            transmission_key=self.signed.transmission_key,
            body=self.signed.body,
        ):
            raise rejected(SIGNATURE_INVALID)
        self._verified.add(point)


def read_signed(headers: Mapping[str, str], body: bytes) -> SignedRequest:
    """Return the parts of the request; reject missing or malformed headers."""
    try:
        return read_request(headers, body)
    except ValueError as exc:
        raise malformed("a header of the protocol is missing or malformed") from exc


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
        # Never an answer that names another key: a client that pinned a wrong one would retry
        # for ever.
        raise malformed("the request does not open with the named server key") from exc
    opened = OpenedRequest(signed, key, parse_payload(plaintext))
    found = _VERSION_FORM.fullmatch(text(opened.payload, "clientVersion"))
    if found is None or int(found.group(1)) < _MIN_VERSION:
        raise rejected(CLIENT_VERSION_REFUSED, reason="invalid client version id")
    return opened


@lru_cache(maxsize=1024)
def _device_key(point: bytes) -> ec.EllipticCurvePublicKey:
    return load_public_point(point)


class ReplayWindow:
    """Remember the digests of the last requests, in memory and within bounds.

    The signed bytes hold neither time nor counter. The wrapped transmission key, which a client
    makes afresh for every attempt, is what makes a request unique.
    """

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._order: deque[bytes] = deque()
        # Of each second in which requests came, when it was and how many of them are remembered.
        self._seconds: deque[list[int]] = deque()
        self._lock = threading.Lock()

    def reject_repeated(self, digest: bytes) -> None:
        """Note the digest; reject it when it was noted before."""
        now = int(time.monotonic())
        kept = digest[:_REMEMBERED_BYTES]
        with self._lock:
            self._forget(now)
            if kept in self._seen:
                raise rejected(REPLAYED)
            self._seen.add(kept)
            self._order.append(kept)
            if not self._seconds or self._seconds[-1][0] != now:
                self._seconds.append([now, 0])
            self._seconds[-1][1] += 1

    def _forget(self, now: int) -> None:
        while self._order:
            oldest = self._seconds[0]
            if now - oldest[0] <= _WINDOW_SECONDS and len(self._order) < MAX_REMEMBERED:
                return
            self._seen.discard(self._order.popleft())
            oldest[1] -= 1
            if oldest[1] == 0:
                self._seconds.popleft()


def parse_payload(plaintext: bytes) -> Payload:
    """Return the payload of a request; reject anything but a JSON object."""
    try:
        return parse_object(plaintext)
    except NotAnObjectError as exc:
        raise malformed("the payload is not a JSON object") from exc


def text(payload: Payload, name: str) -> str:
    """Return a required text."""
    value = payload.get(name)
    # Nothing in the protocol needs more than ASCII, and a lone surrogate would fail in SQLite.
    if not isinstance(value, str) or not value or not value.isascii():
        raise malformed(f"{name} is missing or not a text")
    return value


def uid(payload: Payload, name: str) -> str:
    """Return a required uid."""
    value = text(payload, name)
    if not _UID_FORM.fullmatch(value):
        raise malformed(f"{name} is not a uid")
    return value


def optional_uid(payload: Payload, name: str) -> str | None:
    """Return a uid, or None where the field is absent, null or empty."""
    return uid(payload, name) if payload.get(name) else None


def uids(payload: Payload, name: str) -> list[str]:
    """Return a list of uids; absent, null and empty are the same."""
    value = payload.get(name) or []
    if not isinstance(value, list) or not all(
        isinstance(item, str) and item.isascii() for item in value
    ):
        raise malformed(f"{name} is not a list of texts")
    return value


def number(payload: Payload, name: str) -> int:
    """Return a required whole number."""
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise malformed(f"{name} is missing or not a number")
    return value


def sealed(payload: Payload, name: str) -> bytes:
    """Return the bytes of a required base64 field."""
    try:
        return from_base64(text(payload, name))
    except ValueError as exc:
        raise malformed(f"{name} is not base64") from exc


def public_point(payload: Payload) -> bytes | None:
    """Return the public key of a device that binds, or None when the request does not bind."""
    if not payload.get("publicKey"):
        return None
    point = sealed(payload, "publicKey")
    try:
        load_public_point(point)
    except ValueError as exc:
        raise malformed("publicKey is not a point of P-256") from exc
    return point

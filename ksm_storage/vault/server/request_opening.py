"""Turn the bytes that arrived into a payload, before anybody is trusted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from ...errors import DecryptionError
from ...wire.aes import KEY_BYTES, gcm_open
from ...wire.api_errors import CLIENT_VERSION_REFUSED, key_change
from ...wire.ecies import ecies_open
from ...wire.signed_request import SignedRequest, read_request
from .payload import Payload, parse_payload, text
from .refused import Refused, malformed, refused

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
        raise Refused(403, key_change(current_key_id))


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
        raise refused(CLIENT_VERSION_REFUSED, reason="invalid client version id")

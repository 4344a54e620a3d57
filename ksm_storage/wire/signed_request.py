"""A request as it travels: encrypted payload, wrapped transmission key, signature."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from . import endpoints
from .aes import KEY_BYTES, gcm_seal
from .base64_forms import from_base64, to_base64
from .keys import ecies_seal

# Takes a message and returns its ECDSA signature over SHA-256, in DER.
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """Hold what is sent: no part of it is secret.

    Attributes:
        public_key_id: Which of the server's keys the transmission key is wrapped to.
        transmission_key: The wrapped transmission key, 125 bytes.
        body: The payload under the transmission key.
        signature: DER, over ``transmission_key || body``.
    """

    public_key_id: str
    transmission_key: bytes
    body: bytes
    signature: bytes

    def headers(self) -> dict[str, str]:
        """Return the headers of the protocol; the transport adds the length."""
        return protocol_headers(self.public_key_id, self.transmission_key, self.signature)


def protocol_headers(
    public_key_id: str, transmission_key: bytes, signature: bytes
) -> dict[str, str]:
    """Return the headers of a request, from the wrapped transmission key and the signature."""
    return {
        "Content-Type": endpoints.CONTENT_TYPE,
        endpoints.HEADER_PUBLIC_KEY_ID: public_key_id,
        endpoints.HEADER_TRANSMISSION_KEY: to_base64(transmission_key),
        endpoints.HEADER_AUTHORIZATION: f"{endpoints.SIGNATURE_SCHEME} {to_base64(signature)}",
    }


def make_request(
    payload: bytes,
    *,
    sign: Sign,
    server_public_key: bytes,
    public_key_id: str,
) -> tuple[SignedRequest, bytes]:
    """Return the request and its transmission key, which opens the answer.

    The transmission key is fresh with every call: a retry makes a new request, with a signature
    of its own.
    """
    key = os.urandom(KEY_BYTES)
    wrapped = ecies_seal(server_public_key, key)
    body = gcm_seal(key, payload)
    return SignedRequest(public_key_id, wrapped, body, sign(wrapped + body)), key


def read_request(headers: Mapping[str, str], body: bytes) -> SignedRequest:
    """Return the request that arrived; header names are looked up in any case.

    Raises:
        ValueError: A header is missing or is not of its form.
    """
    found = {name.lower(): value for name, value in headers.items()}
    try:
        key_id = found[endpoints.HEADER_PUBLIC_KEY_ID.lower()]
        wrapped = found[endpoints.HEADER_TRANSMISSION_KEY.lower()]
        authorization = found[endpoints.HEADER_AUTHORIZATION.lower()]
    except KeyError as exc:
        raise ValueError("a header of the protocol is missing") from exc
    scheme, _, signature = authorization.partition(" ")
    if scheme != endpoints.SIGNATURE_SCHEME:
        raise ValueError("the Authorization header does not hold a signature")
    return SignedRequest(key_id, from_base64(wrapped), body, from_base64(signature.strip()))


def signer(private_key: ec.EllipticCurvePrivateKey) -> Sign:
    """Return what signs with a private key: the encrypted transmission key, then the body."""
    return lambda message: private_key.sign(message, ec.ECDSA(hashes.SHA256()))


def verify(
    public_key: ec.EllipticCurvePublicKey, signature: bytes, *, transmission_key: bytes, body: bytes
) -> bool:
    """Tell whether the signature was made by the private half over exactly these bytes."""
    try:
        public_key.verify(signature, transmission_key + body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True

"""Who a client device is: its token, its client id and its key pair."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from .base64_forms import from_base64, to_base64

TOKEN_BYTES = 32
_CLIENT_ID_MESSAGE = b"KEEPER_SECRETS_MANAGER_CLIENT_ID"


def client_id_from_token(token: bytes) -> str:
    """Return the client id: what the server knows instead of the token."""
    return to_base64(hmac.new(token, _CLIENT_ID_MESSAGE, "sha512").digest())


def new_private_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh P-256 key pair."""
    return ec.generate_private_key(ec.SECP256R1())


def private_key_to_text(private_key: ec.EllipticCurvePrivateKey) -> str:
    """Return base64 of the unencrypted PKCS #8 DER, the form in a configuration."""
    return to_base64(private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def private_key_from_text(text: str) -> ec.EllipticCurvePrivateKey:
    """Return the key pair of :func:`private_key_to_text`.

    Raises:
        ValueError: Not base64, not PKCS #8, or not a P-256 key.
    """
    key = load_der_private_key(from_base64(text), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ValueError("not a P-256 private key")
    return key

"""The keys of a client device: its token and client id, its P-256 key pair, and ECIES to a key."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from ..errors import DecryptionError
from .aes import gcm_open, gcm_seal
from .base64_forms import from_base64, to_base64

TOKEN_BYTES = 32
POINT_BYTES = 65
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


def ecies_seal(public_point: bytes, plaintext: bytes) -> bytes:
    """Return ``ephemeral point (65) || AES-GCM(SHA-256(shared x), plaintext)``.

    Raises:
        ValueError: ``public_point`` is not an uncompressed point of P-256.
    """
    recipient = load_public_point(public_point)
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    key = _agreed_key(ephemeral, recipient)
    return public_point_of(ephemeral) + gcm_seal(key, plaintext)


def ecies_open(private_key: ec.EllipticCurvePrivateKey, sealed: bytes) -> bytes:
    """Return the plaintext; raise DecryptionError for another key or altered data."""
    try:
        ephemeral = load_public_point(sealed[:POINT_BYTES])
    except ValueError as exc:
        raise DecryptionError("the ephemeral public key is not a point of P-256") from exc
    return gcm_open(_agreed_key(private_key, ephemeral), sealed[POINT_BYTES:])


def load_public_point(point: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a 65-byte uncompressed point; raise ValueError for anything else."""
    if len(point) != POINT_BYTES or point[0] != 4:
        raise ValueError("not an uncompressed point of P-256")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def public_point_of(private_key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the 65-byte uncompressed point of the public half."""
    return private_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _agreed_key(
    private_key: ec.EllipticCurvePrivateKey, public_key: ec.EllipticCurvePublicKey
) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(private_key.exchange(ec.ECDH(), public_key))
    return digest.finalize()

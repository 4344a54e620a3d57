"""ECIES over P-256: seal a short message to a public key."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..errors import DecryptionError
from .aes import gcm_open, gcm_seal

POINT_BYTES = 65


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

"""The signature of a request: ECDSA P-256 with SHA-256 over the transmission key and the body."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


def sign(private_key: ec.EllipticCurvePrivateKey, *, transmission_key: bytes, body: bytes) -> bytes:
    """Return the DER signature over the encrypted transmission key followed by the body."""
    return private_key.sign(transmission_key + body, ec.ECDSA(hashes.SHA256()))


def verify(
    public_key: ec.EllipticCurvePublicKey, signature: bytes, *, transmission_key: bytes, body: bytes
) -> bool:
    """Tell whether the signature was made by the private half over exactly these bytes."""
    try:
        public_key.verify(signature, transmission_key + body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True

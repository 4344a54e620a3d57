"""The public half and the signatures of a P-256 key of a TPM, in the forms that others read."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ksm_storage.plugin import Call

from .errors import wrong_kind

_ECC, _P256, _RESTRICTED = 0x0023, 0x0003, 0x00010000


def public_key_of(area: Any, call: Call) -> bytes:
    """Return the SubjectPublicKeyInfo of a public area.

    Raises:
        KeyStateError: It is not a P-256 key that signs any digest.
    """
    if int(area.type) != _ECC or int(area.parameters.eccDetail.curveID) != _P256:
        raise wrong_kind(call, "P-256 signing")
    if int(area.objectAttributes) & _RESTRICTED:
        raise wrong_kind(call, "P-256 signing")
    point = area.unique.ecc
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(bytes(point.x), "big"),
        int.from_bytes(bytes(point.y), "big"),
        ec.SECP256R1(),
    )
    key = numbers.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def der_signature(r: int, s: int) -> bytes:
    """Return an ECDSA signature in its DER form."""
    return encode_dss_signature(r, s)

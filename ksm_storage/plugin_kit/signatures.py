"""Signatures: those of services in the form of the plugin contract, and those of credentials."""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import KeyStateError, SettingsError
from .service_client import NotDirectError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

COORDINATE_BYTES = 32
# Of a SubjectPublicKeyInfo up to the point: id-ecPublicKey, prime256v1, and a bit string.
# Source: RFC 5480, 2.
_BEFORE_THE_POINT = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def der_signature(raw: bytes) -> bytes | None:
    """Return a signature ``r || s`` of P-256 in its DER form, or None for another length."""
    if len(raw) != 2 * COORDINATE_BYTES:
        return None
    r, s = (
        int.from_bytes(half, "big") for half in (raw[:COORDINATE_BYTES], raw[COORDINATE_BYTES:])
    )
    body = _integer(r) + _integer(s)
    return b"\x30" + bytes([len(body)]) + body


def public_key_of_point(point: bytes) -> bytes | None:
    """Return the SubjectPublicKeyInfo of an uncompressed point of P-256, or None for others."""
    if len(point) != 1 + 2 * COORDINATE_BYTES or point[0] != 4:
        return None
    return _BEFORE_THE_POINT + point


def der_of_pem(pem: str) -> bytes | None:
    """Return the SubjectPublicKeyInfo of a public key in PEM, or None for anything else."""
    # "-----BEGIN PUBLIC KEY-----" falls into three words, as does the end.
    words = pem.split()
    if words[:3] != ["-----BEGIN", "PUBLIC", "KEY-----"]:
        return None
    try:
        return b64decode("".join(words[3:-3]), validate=True)
    except ValueError:
        return None


def rsa_signature(pem: bytes, text: bytes) -> bytes:
    """Return the signature of a credential over a text: RSASSA-PKCS1-v1_5 with SHA-256.

    Args:
        pem: The private key, the caller's own credential; without a passphrase.
        text: What is signed.

    Raises:
        NotDirectError: It is not an RSA key, or its numbers do not fit together.
        ValueError, TypeError: The PEM cannot be read, or has a passphrase.
    """
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    # The check that is skipped, whether the factors are prime, takes a fifth of a start. Who made
    # the key checked it; with factors that are not prime, the service refuses the signature.
    key = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, RSAPrivateKey) or not _fits_together(key):
        raise NotDirectError("the private key is not an RSA key, or is damaged")
    return key.sign(text, PKCS1v15(), SHA256())


def signed_web_token(pem: bytes, key_id: str, claims: Mapping[str, object]) -> str:
    """Return a JSON Web Token that an RSA key signed (RS256).

    Args:
        pem: The private key, as for :func:`rsa_signature`.
        key_id: The name by which the service knows the key.
        claims: What it says.

    Raises:
        NotDirectError, ValueError, TypeError: As :func:`rsa_signature`.
    """
    header = {"typ": "JWT", "alg": "RS256", "kid": key_id}
    text = b".".join(_url_base64(json.dumps(part).encode()) for part in (header, claims))
    return b".".join((text, _url_base64(rsa_signature(pem, text)))).decode()


def _url_base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _fits_together(key: RSAPrivateKey) -> bool:
    # A damaged file must not reach OpenSSL's arithmetic, which may not end on such numbers.
    held = key.private_numbers()
    p, q, public = held.p, held.q, held.public_numbers
    return (
        p * q == public.n
        and bool(p & q & 1)
        and min(p, q) > 1
        and all(public.e * held.d % (factor - 1) == 1 for factor in (p, q))
        and (held.dmp1, held.dmq1) == (held.d % (p - 1), held.d % (q - 1))
        and held.iqmp * q % p == 1
    )


def not_a_signing_key(key: object, *, create: str) -> KeyStateError:
    """Return the error for a key that cannot sign for a device.

    Args:
        key: Its name.
        create: The command, or the words, that make one that can.
    """
    return KeyStateError(f"the key {str(key)!r} is not a P-256 signing key", hint=create)


def require_version(key: object, version: str | None, *, hint: str) -> str:
    """Return the version in a signing key's name, which must have one.

    Raises:
        SettingsError: It has none: after a rotation the name would stand for another key.
    """
    if version is None:
        raise SettingsError(f"the signing key {str(key)!r} has no version in its name", hint=hint)
    return version


def refuse_version(key: object, version: str | None, *, chosen: str) -> None:
    """Refuse a version in the name of a signing key that is to be created.

    Args:
        key: Its name.
        version: The version in it, or None.
        chosen: How the service chooses the first one; the hint says it.

    Raises:
        SettingsError: It has one.
    """
    if version is not None:
        raise SettingsError(
            f"the new key {str(key)!r} has a version in its name", hint=f"leave it out: {chosen}"
        )


def key_exists(key: object) -> KeyStateError:
    """Return the error for a device key that was to be created and is there already."""
    return KeyStateError(
        f"the key {str(key)!r} already exists",
        hint="leave out --create-device-key to use it, or name another key",
    )


def _integer(number: int) -> bytes:
    # One byte more than it needs where the first bit is set: DER integers have a sign.
    raw = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return b"\x02" + bytes([len(raw)]) + raw

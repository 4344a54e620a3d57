"""Encrypt and decrypt with one version of a key.

A ciphertext of an AES key names its version and carries a MAC over that name: damage anywhere is
a ciphertext that does not decrypt. The service's own are opaque and have other lengths.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage_emulators.oci_vault.errors import OciError
from ksm_storage_emulators.oci_vault.keys import RSA, Key, KeyVersion

AES_256_GCM = "AES_256_GCM"
HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "RSA_OAEP_SHA_1": hashes.SHA1(),  # noqa: S303  # one of the two that the service offers
    "RSA_OAEP_SHA_256": hashes.SHA256(),
}

_MAGIC = b"A"
_NAME_BYTES = 16
_NONCE_BYTES = 12
_TAG_BYTES = 16


def encrypt(
    key: Key, version: KeyVersion, plaintext: bytes, *, algorithm: str, data: Mapping[str, str]
) -> bytes:
    """Encrypt under a version of a key.

    Raises:
        OciError: InvalidParameter when the plaintext is too long for the key.
    """
    if key.algorithm == RSA:
        return _rsa_encrypt(version, plaintext, algorithm)
    # Random 96-bit nonces: fresh for each call, and far fewer than 2**32 per test key.
    nonce = os.urandom(_NONCE_BYTES)
    name = _name(version)
    sealed = AESGCM(version.secret).encrypt(nonce, plaintext, name + _canonical(data))
    return _MAGIC + name + nonce + sealed


def decrypt(
    key: Key, version: KeyVersion | None, blob: bytes, *, algorithm: str, data: Mapping[str, str]
) -> tuple[bytes, KeyVersion]:
    """Decrypt, and say with which version.

    Raises:
        OciError: InvalidParameter for damage, another key or other associated data.
    """
    if key.algorithm == RSA:
        chosen = version or key.current
        return _rsa_decrypt(chosen, blob, algorithm), chosen
    named = _named_version(key, blob)
    if version is not None and version is not named:
        raise undecryptable()
    start = len(_MAGIC) + _NAME_BYTES
    nonce, sealed = blob[start : start + _NONCE_BYTES], blob[start + _NONCE_BYTES :]
    try:
        plaintext = AESGCM(named.secret).decrypt(nonce, sealed, _name(named) + _canonical(data))
    except InvalidTag:
        raise undecryptable() from None
    return plaintext, named


def undecryptable() -> OciError:
    """Return the error for a ciphertext that does not decrypt (assumed: see `errors`)."""
    return OciError("InvalidParameter", "The ciphertext cannot be decrypted.")


def _named_version(key: Key, blob: bytes) -> KeyVersion:
    shortest = len(_MAGIC) + _NAME_BYTES + _NONCE_BYTES + _TAG_BYTES
    if len(blob) < shortest or not blob.startswith(_MAGIC):
        raise undecryptable()
    name = blob[len(_MAGIC) : len(_MAGIC) + _NAME_BYTES]
    for version in key.versions:
        if hmac.compare_digest(name, _name(version)):
            return version
    raise undecryptable()


def _name(version: KeyVersion) -> bytes:
    # Keyed with the version's own secret: nobody else can make one.
    return hmac.digest(version.secret, version.ocid.encode(), hashlib.sha256)[:_NAME_BYTES]


def _canonical(data: Mapping[str, str]) -> bytes:
    return json.dumps(dict(data), sort_keys=True).encode()


def _rsa_encrypt(version: KeyVersion, plaintext: bytes, algorithm: str) -> bytes:
    if not isinstance(version.private_key, rsa.RSAPrivateKey):
        raise TypeError("no RSA key")
    chosen = HASHES[algorithm]
    max_length = version.private_key.key_size // 8 - 2 * chosen.digest_size - 2
    if len(plaintext) > max_length:
        raise OciError("InvalidParameter", f"The plaintext is longer than {max_length} bytes.")
    oaep = padding.OAEP(padding.MGF1(chosen), chosen, None)
    return version.private_key.public_key().encrypt(plaintext, oaep)


def _rsa_decrypt(version: KeyVersion, blob: bytes, algorithm: str) -> bytes:
    if not isinstance(version.private_key, rsa.RSAPrivateKey):
        raise TypeError("no RSA key")
    chosen = HASHES[algorithm]
    oaep = padding.OAEP(padding.MGF1(chosen), chosen, None)
    try:
        return version.private_key.decrypt(blob, oaep)
    except ValueError:
        raise undecryptable() from None

"""The cryptography of key operations, by the algorithm names of the service."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage_emulators.azure_key_vault.errors import bad_parameter

IV_BYTES = 12
TAG_BYTES = 16

_OAEP = {
    # SHA-1 is what the service's name RSA-OAEP stands for; old ciphertexts need it.
    "RSA-OAEP": padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),  # noqa: S303
    "RSA-OAEP-256": padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
}
_KEY_WRAP = {"A128KW": 16, "A192KW": 24, "A256KW": 32}
_GCM = {"A128GCM": 16, "A192GCM": 24, "A256GCM": 32}


@dataclass(frozen=True, slots=True)
class Sealed:
    """A ciphertext; the last two are empty where the algorithm has none."""

    value: bytes
    iv: bytes = b""
    tag: bytes = b""


def rsa_encrypt(key: RSAPrivateKey, algorithm: str, value: bytes) -> Sealed:
    """Encrypt under an RSA key, or raise BadParameter."""
    try:
        return Sealed(key.public_key().encrypt(value, _oaep(algorithm)))
    except ValueError as exc:
        raise bad_parameter() from exc


def rsa_decrypt(key: RSAPrivateKey, algorithm: str, sealed: Sealed) -> bytes:
    """Decrypt under an RSA key, or raise BadParameter."""
    try:
        return key.decrypt(sealed.value, _oaep(algorithm))
    except ValueError as exc:
        raise bad_parameter() from exc


def aes_wrap(key: bytes, algorithm: str, value: bytes) -> Sealed:
    """Wrap as RFC 3394 has it, or raise BadParameter."""
    _require(_KEY_WRAP.get(algorithm) == len(key))
    try:
        return Sealed(keywrap.aes_key_wrap(key, value))
    except ValueError as exc:
        raise bad_parameter() from exc


def aes_unwrap(key: bytes, algorithm: str, sealed: Sealed) -> bytes:
    """Unwrap as RFC 3394 has it, or raise BadParameter."""
    _require(_KEY_WRAP.get(algorithm) == len(key))
    try:
        return keywrap.aes_key_unwrap(key, sealed.value)
    except (ValueError, keywrap.InvalidUnwrap) as exc:
        raise bad_parameter() from exc


def aes_encrypt(key: bytes, algorithm: str, value: bytes, *, aad: bytes) -> Sealed:
    """Encrypt with an IV that the service makes, or raise BadParameter."""
    _require(_GCM.get(algorithm) == len(key))
    iv = os.urandom(IV_BYTES)
    both = AESGCM(key).encrypt(iv, value, aad)
    return Sealed(both[:-TAG_BYTES], iv, both[-TAG_BYTES:])


def aes_decrypt(key: bytes, algorithm: str, sealed: Sealed, *, aad: bytes) -> bytes:
    """Decrypt, or raise BadParameter."""
    _require(_GCM.get(algorithm) == len(key))
    _require(len(sealed.iv) == IV_BYTES and len(sealed.tag) == TAG_BYTES)
    try:
        return AESGCM(key).decrypt(sealed.iv, sealed.value + sealed.tag, aad)
    except InvalidTag as exc:
        raise bad_parameter() from exc


def _oaep(algorithm: str) -> padding.OAEP:
    _require(algorithm in _OAEP)
    return _OAEP[algorithm]


def _require(fits: bool) -> None:
    if not fits:
        raise bad_parameter("Property has invalid value: alg, or it does not fit the key.")

"""Encrypt to an X25519 public key: HPKE of RFC 9180, one message, base mode.

The suite is DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. ``cryptography`` has HPKE of its
own only in versions later than the oldest one that this package works with.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

ALGORITHM = "HPKE-X25519-SHA256-AES256GCM"
PUBLIC_KEY_BYTES = 32
TAG_BYTES = 16

_BASE_MODE = b"\x00"
_KEM = (0x0020).to_bytes(2, "big")
_KEM_SUITE = b"KEM" + _KEM
_SUITE = b"HPKE" + _KEM + (0x0001).to_bytes(2, "big") + (0x0002).to_bytes(2, "big")
_SECRET_BYTES = 32
_NONCE_BYTES = 12


def seal_to(public: X25519PublicKey, plaintext: bytes, *, info: bytes, aad: bytes) -> bytes:
    """Return ``encapsulated key (32) || ciphertext || tag (16)``.

    Raises:
        ValueError: The public key is a point of small order, with which no secret can be agreed.
    """
    # An ephemeral key pair per message: the AEAD key seals this message and no other, so the
    # nonce that is derived with it is used once.
    ephemeral = X25519PrivateKey.generate()
    encapsulated = ephemeral.public_key().public_bytes_raw()
    shared = shared_secret(ephemeral.exchange(public), encapsulated, public.public_bytes_raw())
    key, nonce = _key_schedule(shared, info)
    return encapsulated + AESGCM(key).encrypt(nonce, plaintext, aad)


def open_with(private: X25519PrivateKey, sealed: bytes, *, info: bytes, aad: bytes) -> bytes:
    """Return the plaintext.

    Raises:
        cryptography.exceptions.InvalidTag: Another key, another AAD or altered data.
        ValueError: The encapsulated key is invalid, or a point of small order.
    """
    encapsulated, ciphertext = sealed[:PUBLIC_KEY_BYTES], sealed[PUBLIC_KEY_BYTES:]
    agreed = private.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    shared = shared_secret(agreed, encapsulated, private.public_key().public_bytes_raw())
    key, nonce = _key_schedule(shared, info)
    return AESGCM(key).decrypt(nonce, ciphertext, aad)


def shared_secret(agreed: bytes, encapsulated: bytes, public: bytes) -> bytes:
    """Return the secret that both sides derive from the agreed point (section 4.1)."""
    secret = _extract(_KEM_SUITE, b"", b"eae_prk", agreed)
    return _expand(
        _KEM_SUITE, secret, b"shared_secret", encapsulated + public, length=_SECRET_BYTES
    )


def _key_schedule(shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    # Section 5.1, without a pre-shared key.
    no_psk = _extract(_SUITE, b"", b"psk_id_hash", b"")
    context = _BASE_MODE + no_psk + _extract(_SUITE, b"", b"info_hash", info)
    secret = _extract(_SUITE, shared, b"secret", b"")
    key = _expand(_SUITE, secret, b"key", context, length=_SECRET_BYTES)
    return key, _expand(_SUITE, secret, b"base_nonce", context, length=_NONCE_BYTES)


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    # HKDF-Extract of RFC 5869 is this HMAC; an empty salt is a block of zeros.
    mac = HMAC(salt or bytes(_SECRET_BYTES), SHA256())
    mac.update(b"HPKE-v1" + suite + label + material)
    return mac.finalize()


def _expand(suite: bytes, secret: bytes, label: bytes, info: bytes, *, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return HKDFExpand(SHA256(), length, labeled).derive(secret)

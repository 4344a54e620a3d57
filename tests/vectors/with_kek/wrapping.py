"""Wrap a DEK as docs/envelope-format.md says, with a given nonce or seed: the same each time.

It shares no code with ksm_storage or a plugin.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from Crypto.PublicKey import Hybrid
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

# A pair of primes made for these vectors, and used nowhere else.
P = 0xFEC9CC5474CBE507964FF35BD3AB5FD8B4833300D8268C351D55DB2F3FE5CF484D81358C778724E88AD70B0168BD0521FDBBC4C907A7C2D5575B1D2E6FCD04391A44180C3625B76BCA9A1E9F9FC068F34EFD7B29C6836C0F90E7A192021A6F06288FB31AA8CFEEA1493E1B1579314697A009291EEB62656D1635A264BC59F8AD  # noqa: E501
Q = 0xBBB82F8080E384AE9539CBC48E8869729A7DD1F6E8A59E268917D053B92496C2E1D9B6124C7322498656B3512BFD8D373859BCA14946A05B4DE7B870E7CBA291F3AE591F9B842EECCFDD053F0CF7D828C9C90B72FD4173D64BF879A413B9BBAA437F54306B95382B108694250A7A032B408AC412C7F9C9EE34FB0051318C9607  # noqa: E501
E = 65537
MODULUS_BYTES = 256


def rsa_kek() -> Mapping[str, str]:
    """Return the RSA KEK as hexadecimal numbers."""
    numbers = {"n": P * Q, "e": E, "d": pow(E, -1, (P - 1) * (Q - 1)), "p": P, "q": Q}
    return {name: f"{number:x}" for name, number in numbers.items()}


def gcm(kek: bytes, nonce: bytes, dek: bytes, aad: bytes) -> bytes:
    """Return nonce, ciphertext and tag (W4)."""
    return nonce + AESGCM(kek).encrypt(nonce, dek, aad)


def transit(kek: bytes, nonce: bytes, dek: bytes, aad: bytes) -> bytes:
    """Return the text of a Transit ciphertext of version 1 (W7)."""
    return b"vault:v1:" + base64.b64encode(gcm(kek, nonce, dek, aad))


def kwp(kek: bytes, dek: bytes) -> bytes:
    """Return RFC 5649's ciphertext (W6)."""
    return aes_key_wrap_with_padding(kek, dek)


def oaep(hash_name: str, seed: bytes, dek: bytes) -> bytes:
    """Return the RSA-OAEP ciphertext (W5), by RFC 8017, 7.1.1, with the seed given."""
    size = hashlib.new(hash_name).digest_size
    label = hashlib.new(hash_name).digest()
    padding = bytes(MODULUS_BYTES - len(dek) - 2 * size - 2)
    block = label + padding + b"\1" + dek
    masked = _xor(block, _mgf1(hash_name, seed[:size], len(block)))
    masked_seed = _xor(seed[:size], _mgf1(hash_name, masked, size))
    number = int.from_bytes(b"\0" + masked_seed + masked, "big")
    return pow(number, E, P * Q).to_bytes(MODULUS_BYTES, "big")


def recovery_key_id(name: str, secret: bytes) -> str:
    """Return the key id of a recovery key (W12)."""
    digest = hashlib.sha256(
        f"ksm-storage recovery key v1\0{name}\0".encode() + _hybrid_public_key(secret)
    )
    return f"{name}/{base64.b32encode(digest.digest()).decode().rstrip('=').lower()}"


def recovery(name: str, secret: bytes, randomness: bytes, dek: bytes, aad: bytes) -> bytes:
    """Return public key, encapsulated key and ciphertext (W11), with the randomness given."""
    # Its HPKE draws the randomness itself, so only its KEM is taken from the library.
    shared, encapsulated = _hybrid_key(secret).public_key()._encaps(randomness)
    info = f"ksm-storage recovery wrap v1\0{name}\0".encode() + aad
    key, nonce = hpke_key(shared, info, aead=2)
    return _hybrid_public_key(secret) + encapsulated + AESGCM(key).encrypt(nonce, dek, None)


def hpke_key(shared: bytes, info: bytes, *, aead: int) -> tuple[bytes, bytes]:
    """Return key and nonce of the first message (RFC 9180, section 5.1, base mode)."""
    suite = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x647A, 1, aead))

    def extract(salt: bytes, label: bytes, material: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")

    def expand(label: bytes, length: int) -> bytes:
        labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return hmac.digest(secret, labeled + b"\1", "sha256")[:length]

    return expand(b"key", 32), expand(b"base_nonce", 12)


def _hybrid_public_key(secret: bytes) -> bytes:
    return bytes(_hybrid_key(secret)._pk)


def _hybrid_key(secret: bytes) -> Hybrid.HybridKey:
    return Hybrid.generate(param_set=Hybrid.MLKEM768_X25519, randfunc=lambda _: secret)


def _mgf1(hash_name: str, seed: bytes, length: int) -> bytes:
    counters = range(-(-length // hashlib.new(hash_name).digest_size))
    blocks = (hashlib.new(hash_name, seed + n.to_bytes(4, "big")).digest() for n in counters)
    return b"".join(blocks)[:length]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))

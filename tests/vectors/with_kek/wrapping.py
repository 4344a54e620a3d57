"""Wrap a DEK as docs/envelope-format.md says, with a given nonce or seed: the same each time.

It shares no code with ksm_storage or a plugin.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

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


def _mgf1(hash_name: str, seed: bytes, length: int) -> bytes:
    counters = range(-(-length // hashlib.new(hash_name).digest_size))
    blocks = (hashlib.new(hash_name, seed + n.to_bytes(4, "big")).digest() for n in counters)
    return b"".join(blocks)[:length]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))

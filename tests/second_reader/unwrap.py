"""Unwrap a DEK with its KEK, nothing of ksm_storage, and another library (W4 to W7)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from Crypto.Cipher import AES, PKCS1_OAEP
from Crypto.Hash import SHA1, SHA256, SHA512
from Crypto.PublicKey import RSA

HASHES = {"SHA1": SHA1, "SHA-1": SHA1, "SHA256": SHA256, "SHA-256": SHA256, "SHA512": SHA512}
GCM = ("AES-256-GCM", "A256GCM", "RAW_AES_GCM", "CKM_AES_GCM", "TRANSIT_AEAD")


def unwrapped(
    algorithm: str, wrapped: bytes, kek: str | Mapping[str, str], aad: bytes
) -> bytes | None:
    """Return the DEK; None for what only the key service can decrypt (W8)."""
    if isinstance(kek, str) and algorithm in GCM:
        if algorithm == "TRANSIT_AEAD":
            wrapped = base64.b64decode(wrapped.split(b":")[2])
        cipher = AES.new(bytes.fromhex(kek), AES.MODE_GCM, nonce=wrapped[:12])
        return cipher.update(aad).decrypt_and_verify(wrapped[12:-16], wrapped[-16:])
    if isinstance(kek, str) and algorithm == "CKM_AES_KEY_WRAP_KWP":
        return AES.new(bytes.fromhex(kek), AES.MODE_KWP).unseal(wrapped)
    if isinstance(kek, str) or not kek:
        return None
    name = re.search(r"SHA-?\d+\Z", algorithm.replace("SHA_", "SHA"))
    chosen = HASHES[name[0] if name else "SHA256"]
    key = RSA.construct([int(kek[part], 16) for part in "nedpq"])
    return PKCS1_OAEP.new(key, chosen).decrypt(wrapped)

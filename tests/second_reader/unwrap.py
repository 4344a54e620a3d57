"""Unwrap a DEK with its KEK, nothing of ksm_storage, and another library (W4 to W7, W11)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from Crypto.Cipher import AES, PKCS1_OAEP
from Crypto.Hash import SHA1, SHA256, SHA512
from Crypto.Protocol import HPKE
from Crypto.PublicKey import RSA, Hybrid

HASHES = {"SHA1": SHA1, "SHA-1": SHA1, "SHA256": SHA256, "SHA-256": SHA256, "SHA512": SHA512}
GCM = ("AES-256-GCM", "A256GCM", "RAW_AES_GCM", "CKM_AES_GCM", "TRANSIT_AEAD")


def unwrapped(
    algorithm: str,
    wrapped: bytes,
    kek: str | Mapping[str, str],
    aad: bytes,
    *,
    key_id: str = "",
) -> bytes | None:
    """Return the DEK; None for what only the key service can decrypt (W8)."""
    if isinstance(kek, str) and algorithm == "HPKE-MLKEM768X25519-SHA256-AES256GCM":
        return recovered(wrapped, bytes.fromhex(kek), aad, key_id)
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


def recovered(wrapped: bytes, secret: bytes, aad: bytes, key_id: str) -> bytes:
    """Return the DEK that was wrapped to a recovery key; refuse another key's (W12)."""
    name, _, fingerprint = key_id.partition("/")
    public, encapsulated, sealed = wrapped[:1216], wrapped[1216:2336], wrapped[2336:]
    private = Hybrid.generate(param_set=Hybrid.MLKEM768_X25519, randfunc=lambda _: secret)
    named = f"ksm-storage recovery key v1\0{name}\0".encode() + public
    digest = base64.b32encode(SHA256.new(named).digest()).decode()
    if digest.rstrip("=").lower() != fingerprint:
        raise ValueError("the public key of another key")
    info = f"ksm-storage recovery wrap v1\0{name}\0".encode() + aad
    cipher = HPKE.new(
        receiver_key=private, aead_id=HPKE.AEAD.AES256_GCM, enc=encapsulated, info=info
    )
    return cipher.unseal(sealed)

"""The opaque ciphertext of symmetric keys: which version, nonce, AES-GCM ciphertext and tag.

It names its version as the service's own does, behind a MAC of its own, so that damage to the
name is a damaged ciphertext and never "another key".
"""

from __future__ import annotations

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage_emulators.gcp_kms.errors import GcpError
from ksm_storage_emulators.gcp_kms.keys import CryptoKey, Version

_MAGIC = b"\x0a\x24\x00"
_MAC_BYTES = 16
_NONCE_BYTES = 12


class CiphertextCodec:
    """Seal and open with the header key of one emulator."""

    def __init__(self) -> None:
        """Make a fresh header key: ciphertexts of another run are damaged ones here."""
        self._header_key = os.urandom(32)

    def seal(self, version: Version, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt under a version."""
        name = version.name.encode()
        header = _MAGIC + len(name).to_bytes(2, "big") + name
        # Random 96-bit nonces: fresh for each call, and far fewer than 2**32 per test key.
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(version.secret).encrypt(nonce, plaintext, header + aad)
        return header + self._mac(header) + nonce + sealed

    def open(self, key: CryptoKey, blob: bytes, aad: bytes) -> tuple[Version, bytes]:
        """Return the version that sealed it, and the plaintext.

        Raises:
            GcpError: INVALID_ARGUMENT for another key, damage or another AAD;
                FAILED_PRECONDITION for a version that is not enabled.
        """
        end = len(_MAGIC) + 2 + int.from_bytes(blob[len(_MAGIC) : len(_MAGIC) + 2], "big")
        header, mac, rest = blob[:end], blob[end : end + _MAC_BYTES], blob[end + _MAC_BYTES :]
        if not hmac.compare_digest(mac, self._mac(header)) or len(rest) < _NONCE_BYTES + 16:
            raise GcpError("invalid ciphertext")
        name = header[len(_MAGIC) + 2 :].decode()
        version = next((each for each in key.versions if each.name == name), None)
        if version is None:
            raise GcpError("wrong key")
        version.require_enabled()
        try:
            cipher = AESGCM(version.secret)
            return version, cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], header + aad)
        except InvalidTag:
            raise GcpError("invalid ciphertext") from None

    def _mac(self, header: bytes) -> bytes:
        return hmac.digest(self._header_key, header, "sha256")[:_MAC_BYTES]

"""The opaque ciphertext of symmetric keys: header, nonce, AES-GCM ciphertext and tag.

The header names the key and its material, as the service's own does, and carries a MAC of its
own: damage anywhere is a damaged ciphertext, never "another key".
"""

import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage_emulators.aws_kms.errors import AwsError
from ksm_storage_emulators.aws_kms.keys import KmsKey

_MAGIC = b"\x01\x02\x02\x00"
_MATERIAL_BYTES = 32
_MAC_BYTES = 16
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """A parsed ciphertext whose header is genuine; the rest is not yet checked."""

    key_id: str
    material_id: str
    header: bytes
    sealed: bytes


class CiphertextCodec:
    """Seal and open with the header key of one emulator."""

    def __init__(self) -> None:
        """Make a fresh header key: ciphertexts of another run are damaged ones here."""
        self._header_key = os.urandom(32)

    def seal(self, key: KmsKey, plaintext: bytes, context: Mapping[str, str]) -> bytes:
        """Encrypt under the current material."""
        material = key.current
        name = key.key_id.encode()
        header = _MAGIC + bytes([len(name)]) + name + bytes.fromhex(material.material_id)
        # Random 96-bit nonces: fresh for each call, and far fewer than 2**32 per test key.
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(material.secret).encrypt(nonce, plaintext, header + _canonical(context))
        return header + self._mac(header) + nonce + sealed

    def parse(self, blob: bytes) -> Ciphertext:
        """Read the header.

        Raises:
            AwsError: InvalidCiphertextException.
        """
        name_end = len(_MAGIC) + 1 + (blob[len(_MAGIC)] if len(blob) > len(_MAGIC) else 0)
        header = blob[: name_end + _MATERIAL_BYTES]
        rest = blob[len(header) :]
        mac, sealed = rest[:_MAC_BYTES], rest[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(header)) or len(sealed) < _NONCE_BYTES + 16:
            raise AwsError("InvalidCiphertextException")
        key_id = header[len(_MAGIC) + 1 : name_end].decode()
        return Ciphertext(key_id, header[name_end:].hex(), header, sealed)

    def open(self, key: KmsKey, ciphertext: Ciphertext, context: Mapping[str, str]) -> bytes:
        """Decrypt with the material that the header names.

        Raises:
            AwsError: InvalidCiphertextException for damage or another context.
        """
        material = key.lineage.material(ciphertext.material_id)
        if material is None:
            raise AwsError("InvalidCiphertextException")
        nonce, sealed = ciphertext.sealed[:_NONCE_BYTES], ciphertext.sealed[_NONCE_BYTES:]
        try:
            aad = ciphertext.header + _canonical(context)
            return AESGCM(material.secret).decrypt(nonce, sealed, aad)
        except InvalidTag:
            raise AwsError("InvalidCiphertextException") from None

    def _mac(self, header: bytes) -> bytes:
        return hmac.digest(self._header_key, header, "sha256")[:_MAC_BYTES]


def _canonical(context: Mapping[str, str]) -> bytes:
    # The order of the pairs does not matter to the service, their case does.
    return json.dumps(dict(context), sort_keys=True).encode()

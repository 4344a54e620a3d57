"""Keys of the purpose ENCRYPT_DECRYPT: Cloud KMS makes an opaque ciphertext and binds the AAD."""

from __future__ import annotations

from .checksums import checked, require_received, with_checksums
from .client import KmsClient
from .key_names import SYMMETRIC

ALGORITHM = SYMMETRIC


def encrypt(client: KmsClient, name: str, plaintext: bytes, aad: bytes) -> tuple[str, bytes]:
    """Encrypt under a key's primary version, or a version; return the version and a ciphertext."""
    fields = with_checksums(plaintext=plaintext, additional_authenticated_data=aad)
    reply = client.call("encrypt", {"name": name, **fields})
    require_received(reply, "plaintext", "additional_authenticated_data")
    return str(reply.name), checked(reply, "ciphertext")


def decrypt(client: KmsClient, key: str, ciphertext: bytes, aad: bytes) -> bytes:
    """Decrypt with whichever version of the key made it; the name must be without version."""
    fields = with_checksums(ciphertext=ciphertext, additional_authenticated_data=aad)
    reply = client.call("decrypt", {"name": key, **fields})
    return checked(reply, "plaintext")

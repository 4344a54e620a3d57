"""Keys of the purpose RAW_ENCRYPT_DECRYPT: AES-GCM, as any library has it."""

from __future__ import annotations

from ksm_storage.plugin import DEK_BYTES, DecryptionError, KeyStateError, UnavailableError

from .checksums import checked, crc32c, require_received, with_checksums
from .client import KmsClient

# The reply names neither the mode nor the size of the key; what follows here is AES-GCM's.
ALGORITHM = "RAW_AES_GCM"
IV_BYTES = 12
TAG_BYTES = 16

# What Keeper's own package binds; and how long its IV, ciphertext and tag are, which it writes
# before them in two bytes.
_OFFICIAL_AAD = b"keeper_auth"
_OFFICIAL_BYTES = IV_BYTES + DEK_BYTES + TAG_BYTES


def encrypt(client: KmsClient, version: str, plaintext: bytes, aad: bytes) -> tuple[str, bytes]:
    """Encrypt under a version; return its name, and IV, ciphertext and tag in this order.

    Raises:
        KeyStateError: The key has another mode than GCM.
        UnavailableError: A checksum is wrong.
    """
    fields = with_checksums(plaintext=plaintext, additional_authenticated_data=aad)
    reply = client.call("raw_encrypt", {"name": version, **fields})
    require_received(reply, "plaintext", "additional_authenticated_data")
    iv = checked(reply, "initialization_vector")
    if len(iv) != IV_BYTES or reply.tag_length != TAG_BYTES:
        raise KeyStateError(
            f"the key {version!r} is not AES-GCM", hint="use AES_256_GCM: it binds the context"
        )
    ciphertext = checked(reply, "ciphertext")
    if len(ciphertext) != len(plaintext) + TAG_BYTES:
        raise UnavailableError("the ciphertext in the reply of Cloud KMS has a wrong length")
    return str(reply.name), iv + ciphertext


def decrypt(client: KmsClient, version: str, sealed: bytes, aad: bytes) -> bytes:
    """Decrypt IV, ciphertext and tag with the version that made them."""
    iv = sealed[:IV_BYTES]
    fields = with_checksums(ciphertext=sealed[IV_BYTES:], additional_authenticated_data=aad)
    request = {
        "name": version,
        **fields,
        "initialization_vector": iv,
        "initialization_vector_crc32c": crc32c(iv),
        "tag_length": TAG_BYTES,
    }
    reply = client.call("raw_decrypt", request)
    require_received(reply, "ciphertext", "additional_authenticated_data", "initialization_vector")
    return checked(reply, "plaintext")


def decrypt_official(client: KmsClient, version: str, ciphertext: bytes) -> bytes:
    """Decrypt a key that Keeper's own package encrypted with the version.

    Raises:
        DecryptionError: It has not the form that the package writes, or does not decrypt.
    """
    length, sealed = ciphertext[:2], ciphertext[2:]
    # The official reader ignores the length; a part that contradicts its own is damaged.
    if length != _OFFICIAL_BYTES.to_bytes(2, "big") or len(sealed) != _OFFICIAL_BYTES:
        raise DecryptionError("the wrapped key has not the form of a raw key of Keeper's package")
    return decrypt(client, version, sealed, _OFFICIAL_AAD)

"""What each purpose of a key does: ENCRYPT_DECRYPT, RAW_ENCRYPT_DECRYPT and ASYMMETRIC_DECRYPT.

Every field is sent and checked with its CRC32C, because the client does not check it and damage
would go unnoticed. Source: Cloud KMS documentation, "Data integrity guidelines".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import google_crc32c

from ksm_storage import plugin as kit

from .client import KmsClient
from .hooks import SYMMETRIC_ALGORITHM

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

# The reply names neither the mode nor the size of the key; what is done here is AES-GCM's.
RAW_ALGORITHM = "RAW_AES_GCM"
IV_BYTES = 12
TAG_BYTES = 16

# Source: Cloud KMS documentation, "Key purposes and algorithms": MGF1 has the same hash.
_RSA_ALGORITHM = re.compile(r"RSA_DECRYPT_OAEP_(?:2048|3072|4096)_(SHA1|SHA256|SHA512)")

# What Keeper's own package binds; and how long its IV, ciphertext and tag are, which it writes
# before them in two bytes.
_OFFICIAL_AAD = b"keeper_auth"
_OFFICIAL_BYTES = IV_BYTES + kit.DEK_BYTES + TAG_BYTES

_DAMAGED_HINT = "retry; if it persists, check the proxy between this host and Cloud KMS"

Wrapped = tuple[str, str, bytes]  # the version's name, the algorithm, the ciphertext


def encrypt(client: KmsClient, name: str, plaintext: bytes, aad: bytes) -> Wrapped:
    """Encrypt under a symmetric key's primary version, or under a version."""
    fields = with_checksums(plaintext=plaintext, additional_authenticated_data=aad)
    reply = client.call("encrypt", {"name": name, **fields})
    require_received(reply, "plaintext", "additional_authenticated_data")
    return str(reply.name), SYMMETRIC_ALGORITHM, checked(reply, "ciphertext")


def decrypt(client: KmsClient, key: str, ciphertext: bytes, aad: bytes) -> bytes:
    """Decrypt with whichever version of a symmetric key made it; the name has no version."""
    fields = with_checksums(ciphertext=ciphertext, additional_authenticated_data=aad)
    request = {"name": key, **fields}
    return client.unwrap("decrypt", request, lambda reply: checked(reply, "plaintext"))


def raw_encrypt(client: KmsClient, version: str, plaintext: bytes, aad: bytes) -> Wrapped:
    """Encrypt under a raw version; the ciphertext is IV, ciphertext and tag in this order.

    Raises:
        KeyStateError: The key has another mode than GCM.
        UnavailableError: A checksum is wrong.
    """
    fields = with_checksums(plaintext=plaintext, additional_authenticated_data=aad)
    reply = client.call("raw_encrypt", {"name": version, **fields})
    require_received(reply, "plaintext", "additional_authenticated_data")
    iv = checked(reply, "initialization_vector")
    if len(iv) != IV_BYTES or reply.tag_length != TAG_BYTES:
        raise kit.KeyStateError(
            f"the key {version!r} is not AES-GCM", hint="use AES_256_GCM: it binds the context"
        )
    ciphertext = checked(reply, "ciphertext")
    if len(ciphertext) != len(plaintext) + TAG_BYTES:
        raise kit.UnavailableError(
            "Cloud KMS returned a ciphertext of the wrong length", hint=_DAMAGED_HINT
        )
    return str(reply.name), RAW_ALGORITHM, iv + ciphertext


def raw_decrypt(client: KmsClient, version: str, sealed: bytes, aad: bytes) -> bytes:
    """Decrypt IV, ciphertext and tag with the raw version that made them."""
    iv = sealed[:IV_BYTES]
    fields = with_checksums(ciphertext=sealed[IV_BYTES:], additional_authenticated_data=aad)
    request = {
        "name": version,
        **fields,
        **with_checksums(initialization_vector=iv),
        "tag_length": TAG_BYTES,
    }
    reply = client.call("raw_decrypt", request)
    require_received(reply, "ciphertext", "additional_authenticated_data", "initialization_vector")
    return checked(reply, "plaintext")


def raw_decrypt_official(client: KmsClient, version: str, ciphertext: bytes) -> bytes:
    """Decrypt a key that Keeper's own package encrypted with a raw version.

    Raises:
        DecryptionError: It does not have the form that the package writes, or does not decrypt.
    """
    length, sealed = ciphertext[:2], ciphertext[2:]
    # The official reader ignores the length; a part that contradicts its own is damaged.
    if length != _OFFICIAL_BYTES.to_bytes(2, "big") or len(sealed) != _OFFICIAL_BYTES:
        raise kit.DecryptionError(
            "the wrapped key is not a raw key of Keeper's package, or is damaged"
        )
    return raw_decrypt(client, version, sealed, _OFFICIAL_AAD)


class PublicKey(NamedTuple):
    """Hold the public key of one asymmetric version, its algorithm in Cloud KMS's words."""

    version: str
    algorithm: str
    key: RSAPublicKey

    def encrypt(self, plaintext: bytes) -> Wrapped:
        """Encrypt with RSA-OAEP, without a call."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        match = _RSA_ALGORITHM.fullmatch(self.algorithm)
        known: dict[str, hashes.HashAlgorithm] = {
            "SHA1": hashes.SHA1(),  # noqa: S303  # the key decides; OAEP does not rest on it
            "SHA256": hashes.SHA256(),
            "SHA512": hashes.SHA512(),
        }
        chosen = known[match[1] if match else ""]
        padded = padding.OAEP(padding.MGF1(chosen), chosen, None)
        return self.version, self.algorithm, self.key.encrypt(plaintext, padded)


def is_rsa_algorithm(text: str) -> bool:
    """Tell whether the text is the name of an algorithm of asymmetric keys."""
    return _RSA_ALGORITHM.fullmatch(text) is not None


def fetch_public_key(client: KmsClient, version: str) -> PublicKey:
    """Return the public key of an asymmetric version.

    Raises:
        KeyStateError: The key does not decrypt with RSA-OAEP.
        ProviderError: Cloud KMS refused or failed, or sent something else.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    reply = client.call("get_public_key", {"name": version})
    algorithm = str(getattr(reply.algorithm, "name", reply.algorithm))
    if not is_rsa_algorithm(algorithm):
        raise kit.KeyStateError(
            f"the key {version!r} does not decrypt with RSA-OAEP",
            hint="its algorithm must be one of RSA_DECRYPT_OAEP_*",
        )
    if reply.name != version:
        raise other_public_key(version)
    try:
        key = load_pem_public_key(checked(reply, "pem"))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise kit.ProviderError(f"cannot read the public key of {version!r}") from exc
    if not isinstance(key, rsa.RSAPublicKey):
        raise kit.ProviderError(f"the public key of {version!r} is not an RSA key")
    return PublicKey(version, algorithm, key)


def asymmetric_decrypt(client: KmsClient, version: str, ciphertext: bytes) -> bytes:
    """Decrypt with the private key of the version that encrypted."""

    def read(reply: Any) -> bytes:
        require_received(reply, "ciphertext")
        return checked(reply, "plaintext")

    request = {"name": version, **with_checksums(ciphertext=ciphertext)}
    return client.unwrap("asymmetric_decrypt", request, read)


def with_checksums(**fields: bytes) -> dict[str, object]:
    """Return members of a request, each with its checksum."""
    request: dict[str, object] = dict(fields)
    for name, value in fields.items():
        request[f"{name}_crc32c"] = _crc32c(value)
    return request


def _crc32c(value: bytes) -> int:
    return int(google_crc32c.value(value))


def require_received(reply: Any, *fields: str) -> None:
    """Raise UnavailableError unless Cloud KMS confirms the checksums of what it received."""
    for name in fields:
        if getattr(reply, f"verified_{name}_crc32c") is not True:
            raise kit.UnavailableError(
                f"Cloud KMS did not confirm the checksum of {name!r}: the request was altered in "
                "transit",
                hint=_DAMAGED_HINT,
            )


def other_public_key(version: str) -> kit.ProviderError:
    """Return the error for a public key that is not that of the version it was asked for."""
    return kit.ProviderError(
        f"Cloud KMS returned a public key that is not that of {version!r}",
        hint="retry; if it persists, check what answers at the endpoint",
    )


def checked(reply: Any, name: str) -> bytes:
    """Return a member of a reply; raise UnavailableError if its checksum is wrong."""
    raw = getattr(reply, name)
    value = raw.encode() if isinstance(raw, str) else bytes(raw)
    if getattr(reply, f"{name}_crc32c") != _crc32c(value):
        raise kit.UnavailableError(
            f"the checksum of {name!r} in the reply of Cloud KMS is wrong: it was altered in "
            "transit",
            hint=_DAMAGED_HINT,
        )
    return value

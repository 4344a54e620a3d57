"""Keys of the purpose ASYMMETRIC_DECRYPT: RSA-OAEP, encrypted here with the public key."""

from __future__ import annotations

import re
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ksm_storage.plugin import KeyStateError, ProviderError

from .checksums import checked, require_received, with_checksums
from .client import KmsClient

# Source: Cloud KMS documentation, "Key purposes and algorithms": MGF1 has the same hash.
_ALGORITHM = re.compile(r"RSA_DECRYPT_OAEP_(?:2048|3072|4096)_(SHA1|SHA256|SHA512)")
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA1": hashes.SHA1(),  # noqa: S303  # the key's algorithm decides; OAEP does not rest on it
    "SHA256": hashes.SHA256(),
    "SHA512": hashes.SHA512(),
}


def is_algorithm(text: str) -> bool:
    """Tell whether the text is the name of one of the algorithms."""
    return _ALGORITHM.fullmatch(text) is not None


class PublicKey(NamedTuple):
    """Hold the public key of one version.

    Attributes:
        version: The resource name of the version.
        algorithm: Cloud KMS's name of what it is for.
        key: The RSA key.
    """

    version: str
    algorithm: str
    key: rsa.RSAPublicKey

    def encrypt(self, plaintext: bytes) -> bytes:
        """Encrypt without a call."""
        match = _ALGORITHM.fullmatch(self.algorithm)
        chosen = _HASHES[match[1] if match else ""]
        return self.key.encrypt(plaintext, padding.OAEP(padding.MGF1(chosen), chosen, None))


def fetched(client: KmsClient, version: str) -> PublicKey:
    """Ask for the public key of a version.

    Raises:
        KeyStateError: The key does not decrypt with RSA-OAEP.
        ProviderError: Cloud KMS refused or failed, or sent something else.
    """
    reply = client.call("get_public_key", {"name": version})
    algorithm = str(getattr(reply.algorithm, "name", reply.algorithm))
    if not is_algorithm(algorithm):
        raise KeyStateError(
            f"the key {version!r} does not decrypt with RSA-OAEP",
            hint="its algorithm must be one of RSA_DECRYPT_OAEP_*",
        )
    if reply.name != version:
        raise ProviderError(f"Cloud KMS sent another public key than that of {version!r}")
    try:
        key = load_pem_public_key(checked(reply, "pem"))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ProviderError(f"the public key of {version!r} cannot be read") from exc
    if not isinstance(key, rsa.RSAPublicKey):
        raise ProviderError(f"the public key of {version!r} is no RSA key")
    return PublicKey(version, algorithm, key)


def decrypt(client: KmsClient, version: str, ciphertext: bytes) -> bytes:
    """Decrypt with the private key of the version that encrypted."""
    reply = client.call(
        "asymmetric_decrypt", {"name": version, **with_checksums(ciphertext=ciphertext)}
    )
    require_received(reply, "ciphertext")
    return checked(reply, "plaintext")

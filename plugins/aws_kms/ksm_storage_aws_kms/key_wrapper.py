"""Wrap and unwrap DEKs under one KMS key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ksm_storage.plugin import Aad, DecryptionError, ProviderError, UnavailableError, WrappedDek

from . import key_names
from .client import KmsClient
from .key_names import KeyName
from .options import ALGORITHMS, SYMMETRIC

# Source: AWS KMS API Reference, "Decrypt", CiphertextBlob.
MAX_CIPHERTEXT = 6144


class AwsKmsKeyWrapper:
    """Wrap and unwrap under the key that a name stands for, with one KMS call each."""

    def __init__(self, name: KeyName, client: KmsClient, *, algorithm: str) -> None:
        self._name = name
        self._client = client
        self._algorithm = algorithm

    @property
    def binds_aad(self) -> bool:
        """Tell whether KMS binds the AAD of what is wrapped here; RSA keys take none."""
        return self._algorithm == SYMMETRIC

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the DEK; the wrapped DEK names the key's ARN, never an alias.

        Raises:
            ProviderError: KMS refused or failed, or encrypted under another key.
        """
        reply = self._client.encrypt({**self._request(self._algorithm, aad), "Plaintext": dek})
        key_id, ciphertext = _text(reply, "KeyId"), _bytes(reply, "CiphertextBlob")
        if not key_names.covers(str(self._name), key_id):
            raise ProviderError(
                f"KMS encrypted under the key {key_id!r} instead of {str(self._name)!r}",
                hint="check the endpoint: KMS itself does not do this",
                request_id=_request_id(reply),
            )
        return WrappedDek(key_id, self._algorithm, ciphertext)

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Decrypt a DEK that this key wrapped; another key is refused before KMS is called.

        Raises:
            DecryptionError: Another key, another AAD, or altered ciphertext.
            ProviderError: KMS refused or failed.
        """
        if wrapped.algorithm not in ALGORITHMS:
            raise DecryptionError(f"the wrapping algorithm {wrapped.algorithm!r} is not known here")
        if not key_names.covers(str(self._name), wrapped.key_id):
            raise DecryptionError(
                f"the DEK was wrapped by the key {wrapped.key_id!r}, not by {str(self._name)!r}"
            )
        if not 1 <= len(wrapped.ciphertext) <= MAX_CIPHERTEXT:
            # The AWS client and KMS refuse it as a malformed request, which would hide the damage.
            raise DecryptionError(f"the wrapped DEK has no length from 1 to {MAX_CIPHERTEXT} bytes")
        # Without KeyId, KMS decrypts with whichever key the ciphertext names, so a swapped
        # wrapped DEK would go unnoticed. An alias goes as it is: KMS says what it stands for.
        request = self._request(wrapped.algorithm, aad)
        reply = self._client.decrypt({**request, "CiphertextBlob": wrapped.ciphertext})
        dek, key_id = _bytes(reply, "Plaintext"), _text(reply, "KeyId")
        if not key_names.covers(wrapped.key_id, key_id):
            raise DecryptionError(
                f"KMS decrypted with the key {key_id!r}, not with {wrapped.key_id!r}",
                hint=f"{str(self._name)!r} stands for another key than it did at the wrap",
                request_id=_request_id(reply),
            )
        return dek

    def decrypt_official(self, ciphertext: bytes) -> bytes:
        """Decrypt what Keeper's own packages encrypted under this key, without a context.

        Raises:
            DecryptionError: Another key, or altered ciphertext.
            ProviderError: KMS refused or failed.
        """
        if not 1 <= len(ciphertext) <= MAX_CIPHERTEXT:
            raise DecryptionError(f"the ciphertext has no length from 1 to {MAX_CIPHERTEXT} bytes")
        request = {"KeyId": str(self._name), "EncryptionAlgorithm": self._algorithm}
        reply = self._client.decrypt({**request, "CiphertextBlob": ciphertext})
        plain, key_id = _bytes(reply, "Plaintext"), _text(reply, "KeyId")
        if not key_names.covers(str(self._name), key_id):
            raise DecryptionError(f"KMS decrypted with the key {key_id!r} instead")
        return plain

    def close(self) -> None:
        """Close the connections to KMS."""
        self._client.close()

    def _request(self, algorithm: str, aad: Aad) -> dict[str, object]:
        request: dict[str, object] = {
            "KeyId": str(self._name),
            "EncryptionAlgorithm": algorithm,
        }
        # KMS refuses an encryption context with an RSA key; the header MAC binds the AAD there.
        if algorithm == SYMMETRIC:
            request["EncryptionContext"] = dict(aad)
        return request


def _text(reply: Mapping[str, Any], name: str) -> str:
    value = reply.get(name)
    if not isinstance(value, str) or not value:
        raise _incomplete(reply, name)
    return value


def _bytes(reply: Mapping[str, Any], name: str) -> bytes:
    value = reply.get(name)
    if not isinstance(value, bytes) or not value:
        raise _incomplete(reply, name)
    return value


def _incomplete(reply: Mapping[str, Any], name: str) -> UnavailableError:
    # The client takes a body that was cut off for an empty reply.
    return UnavailableError(
        f"the reply of KMS has no {name!r}: it was cut off or altered on its way",
        hint="try again; if it stays, look at the proxies between here and KMS",
        request_id=_request_id(reply),
    )


def _request_id(reply: Mapping[str, Any]) -> str | None:
    value = reply.get("ResponseMetadata", {}).get("RequestId")
    return value if isinstance(value, str) else None

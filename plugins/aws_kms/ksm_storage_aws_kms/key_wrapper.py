"""Wrap and unwrap DEKs under one KMS key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from ksm_storage.plugin import Aad, DecryptionError, ProviderError, WrappedDek

from .client import KmsClient, Reply
from .key_names import KeyName, covers
from .options import ALGORITHMS, SYMMETRIC

if TYPE_CHECKING:
    from ksm_storage.plugin import KeyDescription, PermissionProbe

# Source: AWS KMS API Reference, "Decrypt", CiphertextBlob.
MAX_CIPHERTEXT = 6144

_Member = TypeVar("_Member", str, bytes)


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
        request = {**self._request(self._algorithm, aad), "Plaintext": dek}
        reply = self._client.ask("Encrypt", lambda kms: kms.encrypt(**request))
        key_id = self._member(reply, "KeyId", str)
        ciphertext = self._member(reply, "CiphertextBlob", bytes)
        if not covers(str(self._name), key_id):
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
        return self._member(self._decrypted(wrapped, aad), "Plaintext", bytes)

    def decrypt_official(self, ciphertext: bytes) -> bytes:
        """Decrypt what Keeper's own packages encrypted under this key, without a context.

        Raises:
            DecryptionError: Another key, or altered ciphertext.
            ProviderError: KMS refused or failed.
        """
        _check_length(ciphertext)
        request = {"KeyId": str(self._name), "EncryptionAlgorithm": self._algorithm}
        reply = self._decrypt({**request, "CiphertextBlob": ciphertext})
        plain, key_id = self._member(reply, "Plaintext", bytes), self._member(reply, "KeyId", str)
        if not covers(str(self._name), key_id):
            raise DecryptionError(f"KMS decrypted with the key {key_id!r} instead")
        return plain

    def describe_key(self) -> KeyDescription:
        """Ask KMS for the key's state, and for its rotation where the caller may."""
        from .abilities import describe_key

        return describe_key(self._client, self._name)

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:
        """Return the id of the key material that wrapped a DEK; an RSA key has only one.

        Only KMS can tell, from a ``Decrypt`` whose plaintext is dropped.

        Raises:
            DecryptionError: Another key, another AAD, or altered ciphertext.
            ProviderError: KMS refused or failed.
        """
        if wrapped.algorithm != SYMMETRIC:
            self._check(wrapped)
            return None
        version = self._decrypted(wrapped, aad).get("KeyMaterialId")
        return version if isinstance(version, str) and version else None

    def describe_access(self) -> Mapping[str, str]:
        """Say who the caller is to AWS, and where KMS is reached."""
        from .abilities import describe_access

        return describe_access(self._client)

    def probe_permissions(self) -> Sequence[PermissionProbe]:
        """Probe the permissions by dry runs and by describing the key."""
        from .abilities import Prober

        return Prober(self._client, self._name, self._algorithm).probes()

    def close(self) -> None:
        """Close the connections to KMS."""
        self._client.close()

    def _check(self, wrapped: WrappedDek) -> None:
        if wrapped.algorithm not in ALGORITHMS:
            raise DecryptionError(f"unknown wrapping algorithm {wrapped.algorithm!r}")
        if not covers(str(self._name), wrapped.key_id):
            raise DecryptionError(
                f"the data key was wrapped by the key {wrapped.key_id!r}, not by "
                f"{str(self._name)!r}"
            )
        _check_length(wrapped.ciphertext)

    def _decrypted(self, wrapped: WrappedDek, aad: Aad) -> Reply:
        self._check(wrapped)
        # Without KeyId, KMS decrypts with whichever key the ciphertext names, so a swapped
        # wrapped DEK would go unnoticed. An alias goes as it is: KMS says what it stands for.
        request = self._request(wrapped.algorithm, aad)
        reply = self._decrypt({**request, "CiphertextBlob": wrapped.ciphertext})
        key_id = self._member(reply, "KeyId", str)
        if not covers(wrapped.key_id, key_id):
            raise DecryptionError(
                f"KMS decrypted with the key {key_id!r}, not with {wrapped.key_id!r}",
                hint=f"{str(self._name)!r} now points to a different key",
                request_id=_request_id(reply),
            )
        return reply

    def _decrypt(self, request: Mapping[str, object]) -> Reply:
        return self._client.ask("Decrypt", lambda kms: kms.decrypt(**request))

    def _request(self, algorithm: str, aad: Aad) -> dict[str, object]:
        request: dict[str, object] = {"KeyId": str(self._name), "EncryptionAlgorithm": algorithm}
        # KMS refuses an encryption context with an RSA key; the header MAC binds the AAD there.
        if algorithm == SYMMETRIC:
            request["EncryptionContext"] = dict(aad)
        return request

    def _member(self, reply: Reply, name: str, kind: type[_Member]) -> _Member:
        value = reply.get(name)
        if isinstance(value, kind) and value:
            return value
        from ksm_storage.plugin import incomplete_reply

        # The client takes a body that was cut off for an empty reply.
        raise incomplete_reply(name, self._client.call("Call"), request_id=_request_id(reply))


def _check_length(ciphertext: bytes) -> None:
    if not 1 <= len(ciphertext) <= MAX_CIPHERTEXT:
        # The AWS client and KMS refuse it as a malformed request, which would hide the damage.
        raise DecryptionError(f"the wrapped data key must be 1 to {MAX_CIPHERTEXT} bytes")


def _request_id(reply: Reply) -> str | None:
    from .errors import request_id_of

    return request_id_of(reply)

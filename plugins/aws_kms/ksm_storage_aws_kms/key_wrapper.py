"""Wrap and unwrap DEKs under one KMS key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ksm_storage import plugin as kit

from .client import KmsClient, Reply, request_id_of
from .hooks import ALGORITHMS, SYMMETRIC, KeyName, key_covers

MAX_CIPHERTEXT = 6144  # AWS KMS API Reference, "Decrypt", CiphertextBlob

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

    def wrap(self, dek: bytes, *, aad: kit.Aad) -> kit.WrappedDek:
        """Encrypt the DEK; the wrapped DEK names the key's ARN, never an alias.

        Raises:
            ProviderError: KMS refused or failed, or encrypted under another key.
        """
        request = {**self._request(self._algorithm, aad), "Plaintext": dek}
        reply = self._client.encrypt(request)
        key_id = self._member(reply, "KeyId", str, operation="Encrypt")
        ciphertext = self._member(reply, "CiphertextBlob", bytes, operation="Encrypt")
        if not key_covers(str(self._name), key_id):
            request_id = request_id_of(reply)
            raise kit.other_key_error(
                "KMS", "encrypted under", key_id, self._name, request_id=request_id
            )
        return kit.WrappedDek(key_id, self._algorithm, ciphertext)

    def unwrap(self, wrapped: kit.WrappedDek, *, aad: kit.Aad) -> bytes:
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
        official = kit.WrappedDek(str(self._name), self._algorithm, ciphertext)
        official.require_made_by(self._name, is_covered=True, max_bytes=MAX_CIPHERTEXT)
        request = {"KeyId": str(self._name), "EncryptionAlgorithm": self._algorithm}
        reply = self._client.decrypt({**request, "CiphertextBlob": ciphertext})
        plain, key_id = self._member(reply, "Plaintext", bytes), self._member(reply, "KeyId", str)
        if not key_covers(str(self._name), key_id):
            raise kit.DecryptionError(f"KMS decrypted with the key {key_id!r} instead")
        return plain

    def signing_key(self) -> kit.SigningKey:
        """Ask KMS for the public key and the ARN of a signing key."""
        from .signing import signing_key

        return signing_key(self._client, self._name)

    def create_signing_key(self) -> str:
        """Create a signing key and the alias that this name is; return the ARN of the key."""
        from .signing import create_signing_key

        return create_signing_key(self._client, self._name)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest with one request."""
        from .signing import sign_digest

        return sign_digest(self._client, self._name, digest)

    def describe_key(self) -> kit.KeyDescription:
        """Ask KMS for the key's state, and for its rotation where the caller may."""
        from .abilities import describe_key

        return describe_key(self._client, self._name)

    def wrapping_version(self, wrapped: kit.WrappedDek, *, aad: kit.Aad) -> str | None:
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

    def probe_permissions(self) -> Sequence[kit.PermissionProbe]:
        """Probe the permissions by dry runs and by describing the key."""
        from .abilities import Prober

        return Prober(self._client, self._name, self._algorithm).probes()

    def close(self) -> None:
        """Close the connections to KMS."""
        self._client.close()

    def _check(self, wrapped: kit.WrappedDek) -> None:
        wrapped.require_made_by(
            self._name,
            is_covered=key_covers(str(self._name), wrapped.key_id),
            algorithms=ALGORITHMS,
            max_bytes=MAX_CIPHERTEXT,
        )

    def _decrypted(self, wrapped: kit.WrappedDek, aad: kit.Aad) -> Reply:
        self._check(wrapped)
        # Without KeyId, KMS decrypts with whichever key the ciphertext names, so a swapped
        # wrapped DEK would go unnoticed. An alias goes as it is: KMS says what it stands for.
        request = self._request(wrapped.algorithm, aad)
        reply = self._client.decrypt({**request, "CiphertextBlob": wrapped.ciphertext})
        key_id = self._member(reply, "KeyId", str)
        if not key_covers(wrapped.key_id, key_id):
            raise kit.DecryptionError(
                f"KMS decrypted with the key {key_id!r}, not with {wrapped.key_id!r}",
                hint=f"{str(self._name)!r} now points to a different key",
                request_id=request_id_of(reply),
            )
        return reply

    def _request(self, algorithm: str, aad: kit.Aad) -> dict[str, object]:
        request: dict[str, object] = {"KeyId": str(self._name), "EncryptionAlgorithm": algorithm}
        # KMS refuses an encryption context with an RSA key; the header MAC binds the AAD there.
        if algorithm == SYMMETRIC:
            request["EncryptionContext"] = dict(aad)
        return request

    def _member(
        self, reply: Reply, name: str, kind: type[_Member], *, operation: str = "Decrypt"
    ) -> _Member:
        value = reply.get(name)
        if isinstance(value, kind) and value:
            return value
        # The client takes a body that was cut off for an empty reply.
        raise kit.incomplete_reply(
            name, self._client.call(operation), request_id=request_id_of(reply)
        )

"""Wrap and unwrap DEKs under one KMS key: directly where that is possible, or by the AWS client."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ksm_storage import plugin as kit

from .hooks import ALGORITHMS, SYMMETRIC, Access, KeyName, key_covers

if TYPE_CHECKING:
    from .direct_call import DirectKms

SDK_LOGGERS = ("botocore", "boto3", "urllib3")
MAX_CIPHERTEXT = 6144  # AWS KMS API Reference, "Decrypt", CiphertextBlob

Reply = Mapping[str, Any]
_Member = TypeVar("_Member", str, bytes)
_Result = TypeVar("_Result")


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


class KmsClient:
    """Ask KMS, or another service for the same caller, about one key.

    Attributes:
        access: Who asks, and how KMS is reached.
    """

    def __init__(self, access: Access, key: str, *, service: str = "kms") -> None:
        self.access = access
        self._key = key
        self._service = service
        self._held: kit.ServiceClient[Any] = kit.ServiceClient(
            self._create,
            close=lambda client: client.close(),
            deadline=access.connection.deadline,
            loggers=SDK_LOGGERS,
            load=_import_sdk,
        )
        self._direct: kit.DirectCalls[Any] | None = None
        if access.may_call_directly:
            self._direct = kit.DirectCalls(
                self._prepared,
                seconds=access.connection.attempt,
                deadline=access.connection.deadline,
            )
        self._kms: DirectKms | None = None

    def ask(self, operation: str, send: Callable[[Any], _Result]) -> _Result:
        """Return what ``send`` returns for the ready client.

        Raises:
            KsmStorageError: The service, the network, the credentials or a setting failed.
        """
        with kit.translating(
            lambda exc: self._translated(exc, operation), quoting=("CredentialRetrievalError",)
        ):
            return self._held.run(send)

    def encrypt(self, request: Mapping[str, Any]) -> Reply:
        """Return the reply to an ``Encrypt``, which is sent without the AWS client if possible.

        Raises:
            KsmStorageError: As :meth:`ask` does.
        """
        return self._sent("Encrypt", request, lambda kms: kms.encrypt(**request))

    def decrypt(self, request: Mapping[str, Any]) -> Reply:
        """Return the reply to a ``Decrypt``; as :meth:`encrypt`."""
        return self._sent("Decrypt", request, lambda kms: kms.decrypt(**request))

    def _sent(
        self, operation: str, request: Mapping[str, Any], send: Callable[[Any], Reply]
    ) -> Reply:
        if self._direct is None:
            return self.ask(operation, send)
        return self._direct.call(
            lambda sent: sent(operation, request), lambda: self.ask(operation, send)
        )

    def sts(self) -> KmsClient:
        """Return the client of the Security Token Service for the same caller; close it."""
        connection = self.access.connection._replace(endpoint=None)
        return KmsClient(self.access._replace(connection=connection), self._key, service="sts")

    def call(self, operation: str) -> kit.Call:
        """Return how an operation is named in errors."""
        from .errors import call_of

        return call_of(operation, self._key, self.access.region)

    def close(self) -> None:
        """Close the connections."""
        self._held.close()
        if self._kms is not None:
            self._kms.close()

    def _prepared(self) -> Callable[[str, Mapping[str, Any]], Reply]:
        from .direct_call import DirectKms

        if self._kms is None:
            self._kms = DirectKms(self.access)
        return partial(self._kms.send, self._kms.credentials())

    def _translated(self, exc: Exception, operation: str) -> kit.KsmStorageError:
        from .errors import translated

        return translated(
            exc, self.call(operation), profile=self.access.profile or os.environ.get("AWS_PROFILE")
        )

    def _create(self) -> Any:
        from . import credentials

        with kit.translating(lambda exc: self._translated(exc, "Connect")):
            session = credentials.session_of(self.access)
            with kit.translating(
                lambda exc: self._translated(exc, "GetCredentials"), quoting=("BotoCoreError",)
            ):
                credentials.require(session)
            return credentials.client_of(session, self.access, self._service)


def request_id_of(reply: Reply) -> str | None:
    """Return the id that AWS gave a request."""
    value = reply.get("ResponseMetadata", {}).get("RequestId")
    return value if isinstance(value, str) else None


def _import_sdk() -> None:
    import botocore.session  # noqa: F401

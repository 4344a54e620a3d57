"""Wrap and unwrap DEKs under one KMS key, through one AWS client."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from ksm_storage import plugin as kit

from .hooks import ALGORITHMS, SYMMETRIC, Access, KeyName, key_covers

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
        reply = self._client.ask("Encrypt", lambda kms: kms.encrypt(**request))
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
            direct_seconds=access.connection.attempt if access.may_call_directly else None,
        )

    def ask(self, operation: str, send: Callable[[Any], _Result]) -> _Result:
        """Return what ``send`` returns for the ready client.

        Raises:
            KsmStorageError: The service, the network, the credentials or a setting failed.
        """
        with kit.translating(
            lambda exc: self._translated(exc, operation), quoting=("CredentialRetrievalError",)
        ):
            return self._held.run(send)

    def decrypt(self, request: Mapping[str, Any]) -> Reply:
        """Return the reply to a ``Decrypt``; the first one is sent without the AWS client.

        Raises:
            KsmStorageError: As :meth:`ask` does.
        """

        def direct() -> Reply:
            from .direct_call import decrypt

            return decrypt(self.access, request)

        return self._held.run_first(
            direct, lambda: self.ask("Decrypt", lambda kms: kms.decrypt(**request))
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

    def _translated(self, exc: Exception, operation: str) -> kit.KsmStorageError:
        from .errors import translated

        return translated(
            exc, self.call(operation), profile=self.access.profile or os.environ.get("AWS_PROFILE")
        )

    def _create(self) -> Any:
        from . import credentials

        with kit.translating(lambda exc: self._translated(exc, "Connect")):
            session = _session(self.access)
            with kit.translating(
                lambda exc: self._translated(exc, "GetCredentials"), quoting=("BotoCoreError",)
            ):
                credentials.require(session)
            return _client_of(session, self.access, self._service)


def request_id_of(reply: Reply) -> str | None:
    """Return the id that AWS gave a request."""
    value = reply.get("ResponseMetadata", {}).get("RequestId")
    return value if isinstance(value, str) else None


def _import_sdk() -> None:
    import botocore.session  # noqa: F401


def _session(access: Access) -> Any:
    import botocore.session
    from botocore.config import Config

    from . import credentials

    connection = access.connection
    session: Any = botocore.session.Session(profile=access.profile)
    loader = _shared_loader(session.get_config_variable("data_path"))
    session.register_component("data_loader", loader)
    # An attribute, so that the clients of STS and SSO, which the session makes, follow it too.
    ca_file = access.authorities(session.get_config_variable("ca_bundle"))
    session.create_client = _by_network_rule(session.create_client, ca_file)
    # botocore itself reads AWS_DEFAULT_REGION only; every other SDK of AWS reads this one first.
    region = access.region or os.environ.get("AWS_REGION") or None
    if region is not None and not re.fullmatch(r"[A-Za-z0-9-]{1,63}", region):
        raise kit.SettingsError(
            f"not a valid region name: {region!r}", hint="check the option 'region' and AWS_REGION"
        )
    # As the session's defaults these hold for the clients of STS and SSO too.
    settings = {
        "region": region,
        "metadata_service_timeout": access.metadata_timeout,
        "metadata_service_num_attempts": access.metadata_attempts,
    }
    for name, value in settings.items():
        if value is not None:
            session.set_config_variable(name, value)
    session.set_default_client_config(
        Config(
            connect_timeout=connection.connect_timeout,
            read_timeout=connection.read_timeout,
            retries={"mode": "standard"},
        )
    )
    events = session.get_component("event_emitter")
    # More specific than the client's own handler, and so asked before it: the first answer counts.
    events.register_first("needs-retry.*.*", _retry_limit(connection.attempt))
    for operation in ("Sign", "CreateKey"):  # KMS might sign twice, or make a second key
        events.register_first(f"needs-retry.*.{operation}", lambda **_: False)
    source = session.get_component("credential_provider")
    credentials.isolate_helpers(source, session)
    if access.role_arn is not None:
        provider = credentials.assumed_role(session, source, access, arn=access.role_arn)
        session.register_component("credential_provider", provider)
    return session


@lru_cache(maxsize=4)
def _shared_loader(data_path: str | None) -> Any:
    # Reading and parsing its descriptions of services is four fifths of what a client costs, and
    # a command over many files makes one for each (docs/decisions/0101-aws-client.md). What is
    # kept is what lies in the SDK's files, nothing of a caller.
    from botocore.loaders import create_loader

    return create_loader(data_path)


def _client_of(session: Any, access: Access, service: str) -> Any:
    client = session.create_client(
        service, region_name=access.region, endpoint_url=access.connection.endpoint
    )
    # It may have come from the AWS configuration.
    kit.validate_endpoint(client.meta.endpoint_url, named="the endpoint of KMS")
    return client


def _by_network_rule(create: Callable[..., Any], ca_file: str | None) -> Callable[..., Any]:
    """Return the session's ``create_client`` with our proxy and authorities, for each service.

    The AWS client knows no ALL_PROXY, no network in NO_PROXY, and no folder of authorities.
    """
    from botocore.config import Config
    from botocore.utils import get_environ_proxies

    if ca_file is not None and os.path.isdir(ca_file):
        ca_file = _bundle_of(ca_file, os.getpid())

    def create_client(service: str, *positional: Any, **named: Any) -> Any:
        if named.get("verify") is None:
            named["verify"] = ca_file
        client = create(service, *positional, **named)
        endpoint = client.meta.endpoint_url
        proxies = kit.proxies_for(endpoint)
        if proxies == get_environ_proxies(endpoint):
            return client
        client.close()
        given, own = named.pop("config", None), Config(proxies=proxies)
        return create(service, *positional, **named, config=given.merge(own) if given else own)

    return create_client


@lru_cache(maxsize=4)
def _bundle_of(folder: str, process: int) -> str:
    """Return a file of this process with the certificates of a folder; it is removed at its end."""
    import atexit
    import tempfile
    from pathlib import Path

    descriptor, path = tempfile.mkstemp(prefix="ksm-storage-ca-", suffix=".pem")
    with open(descriptor, "wb") as file:
        file.write(kit.certificates_of(folder))

    def remove() -> None:
        # A fork inherits this, and its parent still needs the file.
        if os.getpid() == process:
            Path(path).unlink(missing_ok=True)

    atexit.register(remove)
    return path


def _retry_limit(attempt_seconds: float) -> Callable[..., bool | None]:
    """Return a handler of ``needs-retry`` that vetoes what fails again or ends after the deadline.

    The AWS client bounds the number of attempts and the time of each, not the time of all.
    """

    def veto(
        *, attempts: int, response: Any = None, caught_exception: Any = None, **_: object
    ) -> bool | None:
        if caught_exception is not None and kit.is_final_failure(caught_exception):
            return False
        deadline = kit.current_deadline()
        # Standard mode: at most 1 s, doubled with each attempt; up to 5 s more where KMS asks for
        # it. Source: AWS SDKs and Tools Reference Guide, "Retry behavior".
        pause = float(min(2 ** (attempts - 1), 20))
        if response is not None and "x-amz-retry-after" in response[0].headers:
            pause += 5.0
        # None leaves the decision to the client.
        fits = deadline is None or deadline.allows(pause + attempt_seconds)
        return None if fits else False

    return veto

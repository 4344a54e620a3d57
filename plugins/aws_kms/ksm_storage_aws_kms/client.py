"""The AWS client of one key: who asks, how the client is made, how its failures are told."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from ksm_storage.plugin import (
    ServiceClient,
    ask_person,
    current_deadline,
    is_plain_http,
    start_helper,
    translating,
    validate_endpoint,
)

from .options import Access, Role

if TYPE_CHECKING:
    from ksm_storage.plugin import Call, KsmStorageError

SDK_LOGGERS = ("botocore", "boto3", "urllib3")

Reply = Mapping[str, Any]
_Result = TypeVar("_Result")


class KmsClient:
    """Ask KMS, or another service for the same caller, about one key."""

    def __init__(self, access: Access, key: str, *, service: str = "kms") -> None:
        self._access = access
        self._key = key
        self._service = service
        self._held: ServiceClient[Any] = ServiceClient(
            self._create,
            close=lambda client: client.close(),
            deadline=access.connection.deadline,
            loggers=SDK_LOGGERS,
            load=_import_sdk,
        )

    def ask(self, operation: str, send: Callable[[Any], _Result]) -> _Result:
        """Return what ``send`` returns for the ready client.

        Raises:
            KsmStorageError: The service, the network, the credentials or a setting failed.
        """
        with translating(lambda exc: self._translated(exc, operation)):
            return self._held.run(send)

    def sts(self) -> KmsClient:
        """Return the client of the Security Token Service for the same caller; close it."""
        connection = self._access.connection._replace(endpoint=None)
        return KmsClient(self._access._replace(connection=connection), self._key, service="sts")

    def call(self, operation: str) -> Call:
        """Return how an operation is named in errors."""
        from .errors import call_of

        return call_of(operation, self._key, self._access.region)

    def close(self) -> None:
        """Close the connections."""
        self._held.close()

    def _translated(self, exc: Exception, operation: str) -> KsmStorageError:
        from .errors import translated

        return translated(exc, self.call(operation))

    def _create(self) -> Any:
        from .errors import credential_error, settings_error

        access = self._access
        with translating(lambda exc: settings_error(exc, self.call("Connect"), access.profile)):
            session = _session(access)
            with translating(lambda exc: credential_error(exc, self.call("GetCredentials"))):
                _require_credentials(session)
            return _client_of(session, access, self._service)


def _import_sdk() -> None:
    import botocore.session  # noqa: F401


def _session(access: Access) -> Any:
    import botocore.session
    from botocore.config import Config

    connection = access.connection
    session: Any = botocore.session.Session(profile=access.profile)
    loader = _shared_loader(session.get_config_variable("data_path"))
    session.register_component("data_loader", loader)
    # botocore itself reads AWS_DEFAULT_REGION only; every other SDK of AWS reads this one first.
    region = access.region or os.environ.get("AWS_REGION")
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
    source = session.get_component("credential_provider")
    _isolate_helpers(source, session)
    if access.role is not None:
        provider = _assumed_role(session, source, access.role, region)
        session.register_component("credential_provider", provider)
    return session


@lru_cache(maxsize=4)
def _shared_loader(data_path: str | None) -> Any:
    # Reading and parsing its descriptions of services is four fifths of what a client costs, and
    # a command over many files makes one for each (docs/decisions/0101-aws-client.md). What is
    # kept is what lies in the SDK's files, nothing of a caller.
    from botocore.loaders import create_loader

    return create_loader(data_path)


def _isolate_helpers(resolver: Any, session: Any) -> None:
    # The AWS client would have a credential_process read our standard input, and ask for an MFA
    # code there. It has no public way to say otherwise; a test holds it to these names.
    from botocore.credentials import ProcessProvider

    def process_provider(profile: str) -> Any:
        return ProcessProvider(profile, lambda: session.full_config, popen=start_helper)

    for provider in resolver.providers:
        if hasattr(provider, "_popen"):
            provider._popen = start_helper
        if hasattr(provider, "_prompter"):
            provider._prompter = ask_person
        builder = getattr(provider, "_profile_provider_builder", None)
        if builder is not None:
            builder._create_process_provider = process_provider


def _assumed_role(session: Any, source: Any, role: Role, region: str | None) -> Any:
    """Return a resolver whose credentials are the role's; STS is called when they are needed."""
    from botocore import credentials as sdk

    class RoleProvider(sdk.CredentialProvider):
        METHOD = "ksm-storage-role"
        CANONICAL_NAME = None

        def load(self) -> Any:
            own = source.load_credentials()
            if own is None:
                return None
            arguments = {"RoleSessionName": role.session_name}
            if role.external_id is not None:
                arguments["ExternalId"] = role.external_id
            fetcher = sdk.AssumeRoleCredentialFetcher(client, own, role.arn, extra_args=arguments)
            return sdk.DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

    def client(service: str, **arguments: Any) -> Any:
        return session.create_client(service, region_name=region, **arguments)

    return sdk.CredentialResolver([RoleProvider(session)])


def _require_credentials(session: Any) -> None:
    from botocore.exceptions import NoCredentialsError

    from .errors import MalformedCredentialsError

    credentials = session.get_credentials()
    if credentials is None:
        # Else the whole chain, with its waits, would be gone through again.
        raise NoCredentialsError
    parts = credentials.get_frozen_credentials()[:3]
    # They become headers, where a line end would look like a connection that is cut off.
    if not all(part is None or (part.isprintable() and " " not in part) for part in parts):
        raise MalformedCredentialsError


def _client_of(session: Any, access: Access, service: str) -> Any:
    from botocore.config import Config

    connection = access.connection
    arguments = {"endpoint_url": connection.endpoint, "verify": connection.ca_file}
    client = session.create_client(service, region_name=access.region, **arguments)
    endpoint = client.meta.endpoint_url
    # It may have come from the AWS configuration.
    validate_endpoint(endpoint, named="the endpoint of KMS")
    if not is_plain_http(endpoint):
        return client
    client.close()
    direct = Config(proxies={})
    return session.create_client(service, region_name=access.region, config=direct, **arguments)


def _retry_limit(attempt_seconds: float) -> Callable[..., bool | None]:
    """Return a handler of ``needs-retry`` that vetoes what could end after the deadline.

    The AWS client bounds the number of attempts and the time of each, not the time of all.
    """

    def veto(*, attempts: int, response: Any = None, **_: object) -> bool | None:
        deadline = current_deadline()
        # Standard mode: at most 1 s, doubled with each attempt; up to 5 s more where KMS asks for
        # it. Source: AWS SDKs and Tools Reference Guide, "Retry behavior".
        pause = float(min(2 ** (attempts - 1), 20))
        if response is not None and "x-amz-retry-after" in response[0].headers:
            pause += 5.0
        # None leaves the decision to the client.
        fits = deadline is None or deadline.allows(pause + attempt_seconds)
        return None if fits else False

    return veto

"""Ask KMS: directly where that is possible, and through one AWS client for each key."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from ksm_storage import plugin as kit

from .hooks import Access

if TYPE_CHECKING:
    from .direct_call import DirectKms

SDK_LOGGERS = ("botocore", "boto3", "urllib3")

Reply = Mapping[str, Any]
_Result = TypeVar("_Result")


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
        self._direct = kit.DirectCalls(
            self._prepared,
            seconds=access.connection.attempt if access.may_call_directly else None,
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

"""The one client of a key wrapper: made at first use, its failures translated."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ksm_storage.plugin import gc_pause, quiet_logs, refuse_clear_text

from .deadline import RetryLimit, deadline_of
from .options import Connection

if TYPE_CHECKING:
    from .errors import Call

# At DEBUG botocore prints whole requests and replies, the plaintext DEK with them.
SDK_LOGGERS = ("botocore", "boto3", "urllib3")

Reply = Mapping[str, Any]
_Reply = TypeVar("_Reply")


class KmsClient:
    """Call KMS through one client, which is made at the first call and safe across threads."""

    def __init__(self, connection: Connection, *, service: str = "kms") -> None:
        self._connection = connection
        self._service = service
        self._lock = threading.Lock()
        self._client: Any = None
        self._process = 0

    @property
    def region(self) -> str | None:
        """The region that is asked for; None leaves it to the AWS client's configuration."""
        return self._connection.region

    def encrypt(self, request: Mapping[str, object]) -> Reply:
        """Call ``Encrypt`` and return its reply.

        Raises:
            KsmStorageError: KMS, the network, the credentials or a setting failed.
        """
        return self.ask("Encrypt", str(request["KeyId"]), lambda client: client.encrypt(**request))

    def decrypt(self, request: Mapping[str, object]) -> Reply:
        """Call ``Decrypt`` and return its reply.

        Raises:
            KsmStorageError: KMS, the network, the credentials or a setting failed.
        """
        return self.ask("Decrypt", str(request["KeyId"]), lambda client: client.decrypt(**request))

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def meta(self, key: str) -> Any:
        """Return where the client asks: its region, partition and endpoint; calls no KMS.

        Raises:
            KsmStorageError: The credentials or a setting failed.
        """
        return self.ask("Meta", key, lambda client: client.meta)

    def sts(self) -> KmsClient:
        """Return the client of the Security Token Service for the same caller; close it."""
        return KmsClient(self._connection._replace(endpoint=None), service="sts")

    def ask(self, operation: str, key: str, send: Callable[[Any], _Reply]) -> _Reply:
        """Call ``send`` with the ready client, within the deadline, and return what it returns.

        Raises:
            KsmStorageError: The service, the network, the credentials or a setting failed.
        """
        from .errors import UNREADABLE, Call, translatable, translated, unreadable

        call = Call(operation, key, self.region)
        with deadline_of(self._connection.deadline):
            client = self._ready_client(call)
            try:
                with quiet_logs(*SDK_LOGGERS):
                    return send(client)
            except translatable() as exc:
                raise translated(exc, call) from exc
            except UNREADABLE as exc:
                name = type(exc).__name__
        # Outside the except block on purpose: these exceptions carry the reply's body, plaintext
        # DEK and all, so neither __cause__ nor __context__ may keep them.
        raise unreadable(name, call)

    def _ready_client(self, call: Call) -> Any:
        with self._lock:
            # A connection shared with a parent process would mix up whose reply is whose.
            if self._client is None or self._process != os.getpid():
                self._client = self._new_client(call)
                self._process = os.getpid()
            return self._client

    def _new_client(self, call: Call) -> Any:
        from .errors import repeats_a_file, translatable, translated

        try:
            return _created(self._connection, self._service)
        except translatable() as exc:
            told = translated(exc, call)
            cause = None if repeats_a_file(exc) else exc
        # Outside the except block, so that a line with a secret key does not stay on __context__.
        raise told from cause


def _created(connection: Connection, service: str) -> Any:
    with gc_pause():
        import botocore.session

        from .errors import UNREADABLE, translatable, unusable_settings

    # After the import: only loggers that exist by now are silenced.
    with quiet_logs(*SDK_LOGGERS):
        session = _session(botocore.session.Session(profile=connection.profile), connection)
        _require_credentials(session)
        try:
            client = _client_of(session, connection, service)
        except translatable():
            raise
        except UNREADABLE as exc:
            raise unusable_settings(exc, connection.profile) from exc
    # The endpoint may have come from the AWS configuration.
    refuse_clear_text(client.meta.endpoint_url, named="the endpoint of KMS")
    return client


def _client_of(session: Any, connection: Connection, service: str) -> Any:
    from botocore.config import Config

    arguments = {
        "region_name": connection.region,
        "endpoint_url": connection.endpoint,
        "verify": connection.ca_file,
    }
    client = session.create_client(service, **arguments)
    if not client.meta.endpoint_url.lower().startswith("http://"):
        return client
    # It is an emulator on this machine. Through a proxy the DEK would leave it in the clear.
    client.close()
    return session.create_client(service, config=Config(proxies={}), **arguments)


def _require_credentials(session: Any) -> None:
    from botocore.exceptions import NoCredentialsError

    from .errors import UNREADABLE, unreadable_credentials

    try:
        if session.get_credentials() is None:
            # Else the whole chain, with its waits, would be gone through again.
            raise NoCredentialsError
        return
    except UNREADABLE as exc:
        name = type(exc).__name__
    # Outside the except block on purpose: what a credential process printed hangs on the exception.
    raise unreadable_credentials(name)


def _session(session: Any, connection: Connection) -> Any:
    from botocore.config import Config

    from .service_models import shared_loader

    loader = shared_loader(session.get_config_variable("data_path"))
    session.register_component("data_loader", loader)
    # As the session's default it holds for the clients of STS and SSO too.
    session.set_default_client_config(
        Config(
            connect_timeout=connection.connect_timeout,
            read_timeout=connection.read_timeout,
            retries={"mode": "standard"},
        )
    )
    attempt_seconds = connection.connect_timeout + connection.read_timeout
    events = session.get_component("event_emitter")
    # More specific than the client's own handler, and so asked before it: the first answer counts.
    events.register_first("needs-retry.*.*", RetryLimit(attempt_seconds=attempt_seconds))
    bounds = {
        "metadata_service_timeout": connection.metadata_timeout,
        "metadata_service_num_attempts": connection.metadata_attempts,
    }
    for name, value in bounds.items():
        if value is not None:
            session.set_config_variable(name, value)
    if connection.role is not None:
        from .assumed_role import assume_role

        assume_role(session, connection.role, region=connection.region)
    return session

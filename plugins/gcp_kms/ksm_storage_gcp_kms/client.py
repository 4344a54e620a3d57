"""The one connection of a key wrapper to Cloud KMS: made at first use, its failures translated."""

from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ksm_storage.plugin import KsmStorageError, SettingsError, gc_pause, quiet_logs

from .deadline import Deadline
from .options import Connection

if TYPE_CHECKING:
    from .credentials import CallCredentials

# At DEBUG the client prints requests and replies, the plaintext DEK with them, and the
# credentials library prints tokens.
SDK_LOGGERS = ("google", "grpc", "urllib3", "requests")

_CHANNEL_OPTIONS = [
    # Neither retries nor anything else that a DNS record might configure.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),
]


class _Session(NamedTuple):
    process: int
    service: Any
    credentials: CallCredentials


class KmsClient:
    """Call Cloud KMS over gRPC; safe across threads, and across a fork."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._session: _Session | None = None
        # Sessions of a parent process. Closing one would end the parent's connection as well.
        self._inherited: list[_Session] = []

    def call(self, method: str, request: Mapping[str, object]) -> Any:
        """Call a method of the client with its request, and return the reply.

        Raises:
            KsmStorageError: Cloud KMS, the network, the credentials or a setting failed.
        """
        _import_sdk()
        from google.api_core.exceptions import GoogleAPIError

        from .errors import Call, translated

        deadline = Deadline(self._connection.deadline)
        session = self._ready_session()
        with quiet_logs(*SDK_LOGGERS):
            metadata = self._metadata(session, deadline)
            try:
                return getattr(session.service, method)(
                    request=dict(request),
                    retry=deadline.retry(),
                    timeout=deadline.bounding(self._connection.attempt_timeout),
                    metadata=metadata,
                )
            except GoogleAPIError as exc:
                key = str(request.get("name") or request.get("resource"))
                raise translated(exc, Call(method, key)) from exc

    @property
    def connection(self) -> Connection:
        """How Cloud KMS is reached, and by whom."""
        return self._connection

    def identity(self) -> str | None:
        """Return the e-mail address of the caller, None where the credentials do not say it.

        Cloud KMS is not asked; the network only where the credentials need a token.

        Raises:
            KsmStorageError: There are no usable credentials.
        """
        session = self._ready_session()
        with quiet_logs(*SDK_LOGGERS):
            self._metadata(session, Deadline(self._connection.deadline))
        return session.credentials.identity

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None and session.process == os.getpid():
            session.service.transport.close()

    def _metadata(self, session: _Session, deadline: Deadline) -> Sequence[tuple[str, str]]:
        from google.auth.exceptions import GoogleAuthError

        from .credential_failures import UNREADABLE, translated_credentials

        # Asked here and not by gRPC, which would turn any failure into UNAVAILABLE and repeat it,
        # and which sends no credentials to an emulator without TLS.
        try:
            return session.credentials.metadata(deadline)
        except (GoogleAuthError, *UNREADABLE) as exc:
            raise translated_credentials(exc, self._connection) from exc

    def _ready_session(self) -> _Session:
        with self._lock:
            session = self._session
            if session is not None and session.process != os.getpid():
                self._inherited.append(session)
                session = None
            if session is None:
                session = self._session = _created(self._connection)
            return session


@cache
def _import_sdk() -> None:
    # All of it here, so that the imports elsewhere only give the names. The package imports the
    # clients of all its services whichever module is asked for: docs/decisions/0103-gcp-client.md
    # has the numbers.
    with gc_pause():
        from google.cloud import kms_v1  # noqa: F401

        from . import credential_failures, credentials, errors  # noqa: F401


def _created(connection: Connection) -> _Session:
    from google.cloud.kms_v1 import KeyManagementServiceClient
    from google.cloud.kms_v1.services.key_management_service.transports import (
        KeyManagementServiceGrpcTransport,
    )

    from .credentials import CallCredentials

    # After the imports: only loggers that exist by now are silenced.
    with quiet_logs(*SDK_LOGGERS):
        transport = KeyManagementServiceGrpcTransport(channel=_channel(connection))
        service = KeyManagementServiceClient(transport=transport)
    return _Session(os.getpid(), service, CallCredentials(connection))


def _channel(connection: Connection) -> Any:
    import grpc

    if not connection.is_encrypted:
        # To an emulator on this machine. Through a proxy the DEK would leave it in the clear.
        direct = [*_CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0)]
        return grpc.insecure_channel(connection.target, options=direct)
    credentials = grpc.ssl_channel_credentials(_authorities(connection.ca_file))
    return grpc.secure_channel(connection.target, credentials, options=_CHANNEL_OPTIONS)


def _authorities(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        # gRPC, unlike others, finds no certificate behind the mark that some editors put first.
        return Path(path).read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as exc:
        raise unreadable_authorities(path, exc) from exc


def unreadable_authorities(path: str, exc: OSError) -> KsmStorageError:
    """Return the error for a file of authorities that vanished after the key was opened."""
    return SettingsError(f"cannot read {path!r} of the setting 'ca_file': {exc.strerror}")

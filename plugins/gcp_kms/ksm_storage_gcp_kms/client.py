"""The Cloud KMS client of one key wrapper: its channel, its retries and its deadline."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ksm_storage import plugin as kit

from .hooks import Access

if TYPE_CHECKING:
    from .credentials import CallCredentials

# At DEBUG the client prints requests and replies, the plaintext DEK with them, and the
# credentials library prints tokens.
SDK_LOGGERS = ("google", "grpc", "urllib3", "requests")

MAX_ATTEMPTS = 4

# Each call is safe to repeat: encrypting twice makes two ciphertexts, of which one is kept.
_RETRIED = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED"}

_CHANNEL_OPTIONS = [
    # Neither retries nor anything else that a DNS record might configure.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),
]


class _Session(NamedTuple):
    service: Any
    credentials: CallCredentials


class KmsClient:
    """Call Cloud KMS over gRPC; safe across threads, and across a fork."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._held: kit.ServiceClient[_Session] = kit.ServiceClient(
            self._create,
            close=lambda session: session.service.transport.close(),
            deadline=access.connection.deadline,
            loggers=SDK_LOGGERS,
            load=_import_sdk,
            direct_seconds=access.attempt_timeout if access.may_call_directly else None,
        )

    def call(self, method: str, request: Mapping[str, object]) -> Any:
        """Call a method of the client with its request, and return the reply.

        Raises:
            KsmStorageError: Cloud KMS, the network, the credentials or a setting failed.
        """

        def send(session: _Session) -> Any:
            return getattr(session.service, method)(
                request=dict(request),
                metadata=self._headers(session),
                # What may have signed, or made a key, is not sent again.
                retry=None if method in ("asymmetric_sign", "create_crypto_key") else _retry(),
                timeout=_bounding(self.access.attempt_timeout),
            )

        key = str(request.get("name") or request.get("resource") or request.get("parent"))
        with kit.translating(lambda exc: self._translated(exc, method, key)):
            return self._held.run(send)

    def unwrap(
        self, method: str, request: Mapping[str, object], read: Callable[[Any], bytes]
    ) -> bytes:
        """Return the DEK that ``read`` finds in a reply and checks; the first call is direct.

        Raises:
            KsmStorageError: As :meth:`call` and ``read`` do.
        """

        def direct() -> bytes:
            from .direct_call import unwrap

            return read(unwrap(self.access, method, request))

        return self._held.run_first(direct, lambda: read(self.call(method, request)))

    def first_unwrap(self) -> str:
        """Say who sends the first unwrap of a process, for ``doctor``."""
        from .direct_call import credential_source

        return kit.first_unwrap(lambda: credential_source(self.access), client="the Google client")

    def identity(self) -> str | None:
        """Return the e-mail address of the caller, None where the credentials do not say it.

        Cloud KMS is not called; the network is used only where the credentials need a token.

        Raises:
            KsmStorageError: There are no usable credentials.
        """

        def ask(session: _Session) -> str | None:
            self._headers(session)
            return session.credentials.identity

        with kit.translating(lambda exc: self._translated(exc, "", "")):
            return self._held.run(ask)

    def close(self) -> None:
        """Close the connection."""
        self._held.close()

    def _create(self) -> _Session:
        from google.cloud.kms_v1 import KeyManagementServiceClient
        from google.cloud.kms_v1.services.key_management_service.transports import (
            KeyManagementServiceGrpcTransport,
        )

        from .credentials import CallCredentials

        transport = KeyManagementServiceGrpcTransport(channel=_channel(self.access))
        service = KeyManagementServiceClient(transport=transport)
        return _Session(service, CallCredentials(self.access))

    def _headers(self, session: _Session) -> Sequence[tuple[str, str]]:
        from .errors import credential_error

        # Asked here and not by gRPC, which would turn any failure into UNAVAILABLE and repeat it,
        # and which sends no credentials to an emulator without TLS.
        with (
            kit.translating(
                lambda exc: credential_error(exc, self.access),
                # It quotes what an executable or an identity provider answered.
                quoting=("RefreshError",),
            ),
            kit.deadline_of(self.access.credential_timeout),
        ):
            return kit.within_deadline(session.credentials.headers)

    def _translated(self, exc: Exception, method: str, key: str) -> kit.KsmStorageError:
        from .errors import translated

        return translated(exc, method, key)


@cache
def _import_sdk() -> None:
    # All of it here, so that the imports elsewhere only give the names. The package imports the
    # clients of all its services whichever module is asked for: docs/decisions/0103-gcp-client.md
    # has the numbers.
    from google.cloud import kms_v1  # noqa: F401

    from . import credentials, errors  # noqa: F401


def _channel(access: Access) -> Any:
    from pathlib import Path

    import grpc

    if not access.is_encrypted:
        # To an emulator on this machine. Through a proxy the DEK would leave it in the clear.
        direct = [*_CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0)]
        return grpc.insecure_channel(access.target, options=direct)
    ca_file = access.connection.ca_file
    bundle = None
    if ca_file is not None:
        # gRPC, unlike others, finds no certificate behind the mark that some editors put first.
        bundle = (
            kit.certificates_of(ca_file)
            if os.path.isdir(ca_file)
            else Path(ca_file).read_bytes().removeprefix(codecs.BOM_UTF8)
        )
    credentials = grpc.ssl_channel_credentials(bundle)
    # gRPC itself reads the variables in lower case alone, and knows no ALL_PROXY.
    host, _, port = access.target.rpartition(":")
    proxy = kit.proxy_for(host or access.target, int(port) if port.isdigit() else 443)
    through: tuple[str, object] = ("grpc.enable_http_proxy", 0)
    if proxy is not None:
        proxy.require_http()
        through = ("grpc.http_proxy", proxy.url)
    return grpc.secure_channel(access.target, credentials, options=[*_CHANNEL_OPTIONS, through])


def _retry() -> Any:
    """Return the retry of one call.

    The client's own goes on for 60 s whatever time-out it is given, and does not know INTERNAL
    and RESOURCE_EXHAUSTED.
    """
    from google.api_core.retry import Retry

    return Retry(
        predicate=_WorthRetrying(),
        initial=0.2,
        maximum=4.0,
        multiplier=2.0,
        timeout=kit.seconds_left(),
    )


def _bounding(attempt_seconds: float) -> Callable[[Callable[..., Any]], Any]:
    """Return what the client takes for a time-out: it sets that of each attempt."""

    def bounded(call: Callable[..., Any]) -> Callable[..., Any]:
        def attempt(*args: Any, **kwargs: Any) -> Any:
            kwargs["timeout"] = min(attempt_seconds, kit.seconds_left())
            return call(*args, **kwargs)

        return attempt

    return bounded


class _WorthRetrying:
    def __init__(self) -> None:
        self._attempts = 0

    def __call__(self, exc: Exception) -> bool:
        from .errors import code_of, is_untrusted_certificate, retry_delay

        self._attempts += 1
        if self._attempts >= MAX_ATTEMPTS or code_of(exc) not in _RETRIED:
            return False
        if is_untrusted_certificate(exc) or kit.is_final_failure(exc):
            return False
        # Where the service asks for a longer wait than is left, a shorter one does not help.
        deadline = kit.current_deadline()
        return deadline is None or retry_delay(exc) < deadline.remaining

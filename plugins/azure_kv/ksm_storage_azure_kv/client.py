"""The client of one vault: made at first use, its tokens and its failures translated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ksm_storage import plugin as kit

from .hooks import Access, host_of

if TYPE_CHECKING:
    import logging

# At DEBUG they print requests, and tracing or a hook of the application may print their bodies.
SDK_LOGGERS = ("azure", "msal", "urllib3", "requests")

# Source: Azure Key Vault REST API reference. The client's own default may be newer than what a
# managed HSM in a sovereign cloud supports.
API_VERSION = "7.4"

_silent: ContextVar[bool] = ContextVar("ksm_storage_azure_kv_silent", default=False)


class _Session(NamedTuple):
    client: Any
    transport: Any
    source: TokenSource


class VaultClient:
    """Call one vault; safe across threads, and across a fork.

    The Azure client's classes for cryptography are not used: with an RSA key they wrap locally,
    so that neither the key's state nor the audit log sees it, and with an AES key of a managed
    HSM they wrap under a key that they make up and forget.
    """

    def __init__(self, name: kit.KeyName, access: Access) -> None:
        self._host = host_of(name)
        self._access = access
        self._held: kit.ServiceClient[_Session] = kit.ServiceClient(
            self._create,
            close=lambda session: session.transport.session.close(),
            deadline=access.connection.deadline,
            loggers=SDK_LOGGERS,
            direct_seconds=access.connection.attempt if access.may_call_directly else None,
        )

    def call(
        self, operation: str, key: kit.KeyName, body: Mapping[str, object]
    ) -> Mapping[str, Any]:
        """Post one key operation and return the reply.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        path = f"{_path(key)}/{operation.lower()}"
        return self._sent(operation, key, ("POST", path), dict(body))

    def unwrap(
        self, operation: str, key: kit.KeyName, body: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """Return the reply to an unwrap; the first one is sent without the Azure client.

        Raises:
            KsmStorageError: As :meth:`call` does.
        """

        def direct() -> Mapping[str, Any]:
            from .direct_call import unwrap

            path = f"{_path(key)}/{operation.lower()}?api-version={API_VERSION}"
            return unwrap(key, self._access, path, body)

        return self._held.run_first(direct, lambda: self.call(operation, key, body))

    def first_unwrap(self, key: kit.KeyName) -> str:
        """Say who sends the first unwrap of a process, for ``doctor``."""
        from .direct_call import credential_source

        return kit.first_unwrap(
            lambda: f"credentials of the kind {credential_source(key, self._access)}",
            client="the Azure client",
        )

    def read(self, operation: str, key: kit.KeyName, *, path: str = "") -> Mapping[str, Any]:
        """Get what the vault shows of the key, or what is at another path; changes nothing.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        return self._sent(operation, key, ("GET", path or _path(key)), None)

    def token(self) -> str | None:
        """Return the token of the last call, a secret; None where none was needed yet."""
        return self._held.run(lambda session: session.source.last_token)

    def close(self) -> None:
        """Close the connections."""
        self._held.close()

    def _sent(
        self,
        operation: str,
        key: kit.KeyName,
        request: tuple[str, str],
        body: Mapping[str, object] | None,
    ) -> Mapping[str, Any]:
        def send(session: _Session) -> Any:
            from azure.core.rest import HttpRequest

            with _silent_client():
                # The client does not repeat a POST whose connection failed, because it may change
                # something; these change nothing. What may have signed, or made a key, is not
                # sent again.
                retries: dict[str, Any] = {"retry_on_methods": ["GET", "POST"]}
                if operation in ("sign", "create"):
                    retries = {"retry_total": 0}
                return session.client.send_request(HttpRequest(*request, json=body), **retries)

        # Before the first name of the client is needed below; it is cheap when it is done.
        with kit.gc_pause(), kit.uncounted():
            _import_sdk()
        with kit.translating(lambda exc: _translated(exc, operation, key), quoting=_quoting()):
            response = self._held.run(send)
            # The client does not raise on a redirect, which no vault sends.
            response.raise_for_status()
            reply = response.json() if response.status_code == 200 else None
            if not isinstance(reply, dict):
                raise UnexpectedReplyError(response)
            return reply

    def _create(self) -> _Session:
        from azure.keyvault.keys import KeyClient

        from .credentials import make_credential
        from .transport import DeadlineRetryPolicy, make_transport

        access = self._access
        transport = make_transport(self._host, access)
        choice, seconds = access.credential, access.credential_timeout
        source = TokenSource(
            lambda: make_credential(choice, transport, seconds=seconds),
            kind=choice.kind,
            seconds=seconds,
        )
        # It has the one method that the client calls.
        credential: Any = source
        client = KeyClient(
            f"https://{self._host}",
            credential,
            api_version=API_VERSION,
            transport=transport,
            retry_policy=DeadlineRetryPolicy(),
            # A vault redirects nobody, and a redirected POST would take the DEK along.
            permit_redirects=False,
        )
        _silence_new_loggers()
        return _Session(client, transport, source)


class UnexpectedReplyError(Exception):
    """Report a reply that is neither an object nor an error of the vault."""

    def __init__(self, response: Any) -> None:
        super().__init__("unexpected reply")
        self.response = response


class TokenSource:
    """A credential for the Azure client that answers, or fails, within the given seconds."""

    def __init__(self, make: Callable[[], Any], *, kind: str, seconds: float) -> None:
        self._make = make
        self._kind = kind
        self._seconds = seconds
        self._lock = threading.Lock()
        self._credential: Any = None
        self._last: Any = None

    @property
    def last_token(self) -> str | None:
        """The token that was handed out last, a secret."""
        return None if self._last is None else str(self._last.token)

    def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        """Return a token; the Azure client calls this.

        Raises:
            KsmStorageError: The credentials are missing, refused, or took too long.
        """
        from .credentials import credential_error

        tenant = (options or {}).get("tenant_id")
        with (
            kit.translating(
                lambda exc: credential_error(exc, kind=self._kind, tenant=tenant),
                # It quotes what a command printed, a token perhaps.
                quoting=(*_quoting(), "ClientAuthenticationError"),
            ),
            kit.deadline_of(self._seconds),
        ):
            found = kit.within_deadline(lambda: self._ask(scopes, options))
            # It becomes a header, where a line end would look like a vault that is down.
            if not str(found.token).isprintable() or not str(found.token).isascii():
                raise kit.AuthenticationError(
                    f"the token of the Azure credentials of the kind {self._kind!r} is malformed",
                    hint="check what issues it; for the kind 'cli': az account get-access-token",
                )
            self._last = found
            return found

    def _ask(self, scopes: tuple[str, ...], options: Any) -> Any:
        # Together with the credential's own cache: threads that start together make one request.
        with kit.lock_held(self._lock):
            if self._credential is None:
                self._credential = self._make()
                _silence_new_loggers()
            return self._credential.get_token_info(*scopes, options=options)


@cache
def _import_sdk() -> None:
    # All of it here, so that the imports elsewhere only give the names.
    from azure.keyvault.keys import KeyClient  # noqa: F401

    from . import credentials, errors, transport  # noqa: F401


def _translated(exc: Exception, operation: str, key: kit.KeyName) -> kit.KsmStorageError:
    from .errors import call_of, translated

    return translated(exc, call_of(operation, key))


def _quoting() -> tuple[type[BaseException] | str, ...]:
    from azure.core.exceptions import DecodeError

    return (DecodeError,)


@contextmanager
def _silent_client() -> Iterator[None]:
    # It warns of each failure that it raises besides, and the error says it in our words.
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def _silence_new_loggers() -> None:
    # A direct call does without the package.
    import logging

    for name in [*logging.root.manager.loggerDict]:
        if name.startswith(("azure.", "msal.")):
            logging.getLogger(name).addFilter(_passes)


def _passes(_: logging.LogRecord) -> bool:
    return not _silent.get()


def _path(key: kit.KeyName) -> str:
    return f"/keys/{key.parts['name']}" + (f"/{key.version}" if key.version else "")

"""The one client of a vault that a key wrapper has: made at first use, its failures translated."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from ksm_storage.plugin import KsmStorageError, gc_pause

from .deadline import deadline_of
from .key_names import KeyName
from .options import Connection
from .sdk_logs import silence_new_loggers, silent_client

if TYPE_CHECKING:
    from .errors import Call
    from .token_source import TokenSource

# Source: Azure Key Vault REST API reference. The client's own default may be newer than what a
# managed HSM in a sovereign cloud knows.
API_VERSION = "7.4"

# Method, path and body.
_Request = tuple[str, str, "dict[str, str] | None"]


class VaultClient:
    """Call one vault through one client, which is made at the first call, safe across threads.

    The Azure client's classes for cryptography are not used: with an RSA key they wrap locally,
    so that neither the key's state nor the audit log sees it, and with an AES key of a managed
    HSM they wrap under a key that they make up and forget.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._client: Any = None
        self._session: Any = None
        self._source: TokenSource | None = None
        self._process = 0

    def call(self, operation: str, key: KeyName, body: Mapping[str, str]) -> Mapping[str, Any]:
        """Post one key operation and return the reply.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        path = f"{_path(key)}/{operation.lower()}"
        return self._called(operation, key, ("POST", path, dict(body)))

    def read(self, operation: str, key: KeyName, *, path: str = "") -> Mapping[str, Any]:
        """Get what the vault shows of the key, or what lies at another path; changes nothing.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        return self._called(operation, key, ("GET", path or _path(key), None))

    def token(self) -> str | None:
        """Return the token of the last call, a secret; None where none was needed yet."""
        with self._lock:
            return None if self._source is None else self._source.last_token

    def _called(self, operation: str, key: KeyName, request: _Request) -> Mapping[str, Any]:
        _import_sdk()
        from .errors import REQUEST_ID, Call, translated_reply, unreadable_reply

        call = Call(operation, key)
        with deadline_of(self._connection.deadline), silent_client():
            response = self._sent(call, request)
            if response.status_code == 200:
                reply = _json_object(response)
                if reply is None:
                    raise unreadable_reply(call, request_id=response.headers.get(REQUEST_ID))
                return reply
            raise translated_reply(response, call) from _cause(response)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._session is not None:
                self._session.close()
            self._client = self._session = self._source = None

    def _sent(self, call: Call, request: _Request) -> Any:
        from azure.core.exceptions import IncompleteReadError
        from azure.core.rest import HttpRequest

        from .client_failures import FAILURES, UNREADABLE_REPLIES, without_bodies
        from .errors import translated_failure, unreadable_reply

        client = self._ready_client()
        method, path, body = request
        try:
            # The client does not repeat a POST whose connection failed, because it may change
            # something; these change nothing.
            return client.send_request(
                HttpRequest(method, path, json=body), retry_on_methods=["GET", "POST"]
            )
        except KsmStorageError:
            raise
        # Half a reply is one of the unreadable kind, but carries none of its text.
        except IncompleteReadError as exc:
            raise translated_failure(exc, call) from exc
        except UNREADABLE_REPLIES:
            pass
        except FAILURES as exc:
            raise translated_failure(exc, call) from without_bodies(exc)
        # Outside the except block on purpose: these exceptions carry the reply's text, DEK and
        # all, so neither __cause__ nor __context__ may keep them.
        raise unreadable_reply(call)

    def _ready_client(self) -> Any:
        with self._lock:
            # A connection shared with a parent process would mix up whose reply is whose.
            if self._client is None or self._process != os.getpid():
                self._client, self._session, self._source = _created(self._connection)
                self._process = os.getpid()
            return self._client


@cache
def _import_sdk() -> None:
    # All of it here, so that the imports elsewhere only give the names.
    with gc_pause():
        from azure.keyvault.keys import KeyClient  # noqa: F401

        from . import credentials, errors, token_source, transport  # noqa: F401


def _created(connection: Connection) -> tuple[Any, Any, TokenSource]:
    from azure.keyvault.keys import KeyClient

    from .credentials import make_credential
    from .token_source import TokenSource
    from .transport import DeadlineRetryPolicy, make_transport

    silence_new_loggers()
    transport = make_transport(connection)
    choice, seconds = connection.credential, connection.credential_timeout
    source = TokenSource(
        lambda: make_credential(choice, transport, seconds=seconds),
        kind=choice.kind,
        seconds=seconds,
    )
    # It has the one method that the client calls.
    credential: Any = source
    client = KeyClient(
        f"https://{connection.host}",
        credential,
        api_version=API_VERSION,
        transport=transport,
        retry_policy=DeadlineRetryPolicy(),
        # A vault redirects nobody, and a redirected POST would take the DEK along.
        permit_redirects=False,
    )
    return client, transport.session, source


def _path(key: KeyName) -> str:
    return f"/keys/{key.name}" + (f"/{key.version}" if key.version else "")


def _json_object(response: Any) -> Mapping[str, Any] | None:
    try:
        reply = response.json()
    except ValueError:
        return None
    return reply if isinstance(reply, dict) else None


def _cause(response: Any) -> Exception | None:
    from azure.core.exceptions import HttpResponseError

    from .client_failures import without_bodies

    try:
        response.raise_for_status()
    except HttpResponseError as exc:
        return without_bodies(exc)
    return None

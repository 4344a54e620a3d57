"""The one client of an endpoint of a vault: made at first use, its failures translated."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ksm_storage.plugin import AuthenticationError, KsmStorageError, gc_pause, quiet_logs

from .key_names import KeyName
from .options import Connection
from .refusal import Call

if TYPE_CHECKING:
    from .credentials import Credentials

SDK_LOGGERS = ("oci", "urllib3", "circuitbreaker")
PERMISSIONS = {
    "encrypt": "KEY_ENCRYPT",
    "decrypt": "KEY_DECRYPT",
    "get_key": "KEY_READ",
    "get_key_version": "KEY_READ",
}


class Reply(NamedTuple):
    """Hold what came back: the service's model of the data, and the request id."""

    data: Any
    request_id: str | None

    def optional_text(self, name: str) -> str | None:
        """Return a member that is a text with something in it, or None."""
        value = getattr(self.data, name, None)
        return value if isinstance(value, str) and value else None


class Sdk(Protocol):
    """What is used of Oracle's client for one endpoint; a module fits."""

    def endpoint_of(self, name: KeyName, connection: Connection) -> str:
        """Return the URL of the endpoint."""
        ...

    def create_client(
        self, credentials: Credentials, connection: Connection, *, endpoint: str
    ) -> Any:
        """Return a client of the endpoint; it calls nothing yet."""
        ...

    def send(
        self,
        client: Any,
        operation: str,
        details: Mapping[str, object],
        connection: Connection,
        ends_at: float,
    ) -> Any:
        """Send one call with the client's own retries, and return its response."""
        ...


@cache
def _crypto_sdk() -> Sdk:
    with gc_pause():
        from . import sdk_client

    return sdk_client


class _Ready(NamedTuple):
    sdk: Any
    credentials: Credentials


class VaultClient:
    """Call a vault through one client, which is made at the first call and safe across threads."""

    def __init__(
        self, name: KeyName, connection: Connection, load_sdk: Callable[[], Sdk] = _crypto_sdk
    ) -> None:
        self._name = name
        self._connection = connection
        self._load_sdk = load_sdk
        self._lock = threading.Lock()
        self._ready: _Ready | None = None
        self._process = 0

    def encrypt(self, details: Mapping[str, object]) -> Reply:
        """Call ``Encrypt``; the details are the members of ``EncryptDataDetails``.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        return self.call("encrypt", details)

    def decrypt(self, details: Mapping[str, object]) -> Reply:
        """Call ``Decrypt``; the details are the members of ``DecryptDataDetails``.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        return self.call("decrypt", details)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._forget()

    def call(self, operation: str, details: Mapping[str, object]) -> Reply:
        """Call an operation of the endpoint.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        # The import first: it takes longer than a call, and only loggers that exist are silenced.
        sdk = self._load_sdk()
        ends_at = time.monotonic() + self._connection.deadline
        with quiet_logs(*SDK_LOGGERS):
            endpoint = sdk.endpoint_of(self._name, self._connection)
            call = Call(operation, str(self._name), PERMISSIONS[operation], endpoint)
            ready = self._made_ready(sdk, call, ends_at)
            try:
                return self._sent(sdk, ready, call, details, ends_at)
            except AuthenticationError:
                # Another token or key may lie in the files by the next call.
                self.close()
                raise

    def credentials(self) -> Credentials:
        """Return what signs the requests, obtained as for a call.

        Raises:
            KsmStorageError: They could not be obtained.
        """
        sdk = self._load_sdk()
        ends_at = time.monotonic() + self._connection.deadline
        with quiet_logs(*SDK_LOGGERS):
            endpoint = sdk.endpoint_of(self._name, self._connection)
            call = Call("decrypt", str(self._name), PERMISSIONS["decrypt"], endpoint)
            return self._made_ready(sdk, call, ends_at).credentials

    def _made_ready(self, sdk: Sdk, call: Call, ends_at: float) -> _Ready:
        with self._lock:
            # A connection shared with a parent process would mix up whose reply is whose.
            if self._ready is None or self._process != os.getpid():
                self._ready = self._create(sdk, call, ends_at)
                self._process = os.getpid()
            else:
                self._refresh(self._ready, call, ends_at)
            return self._ready

    def _create(self, sdk: Sdk, call: Call, ends_at: float) -> _Ready:
        from . import credentials
        from .errors import credential_error, repeats_a_file

        choice = self._connection.credential
        try:
            found = credentials.load_credentials(
                choice, region=self._name.region, seconds=self._credential_seconds(ends_at)
            )
            made = sdk.create_client(found, self._connection, endpoint=call.endpoint)
            return _Ready(made, found)
        except KsmStorageError:
            raise
        # What goes wrong on the way to credentials is of every kind; none of it is a bug here.
        except Exception as exc:  # noqa: BLE001  # it is told, and raised below
            told = credential_error(exc, choice.kind, call)
            cause = None if repeats_a_file(exc) else exc
        # Outside the except block, so that a line with a passphrase does not stay on __context__.
        raise told from cause

    def _refresh(self, ready: _Ready, call: Call, ends_at: float) -> None:
        from .errors import credential_error

        try:
            ready.credentials.refresh(self._credential_seconds(ends_at))
        except Exception as exc:  # as above
            raise credential_error(exc, self._connection.credential.kind, call) from exc

    def _credential_seconds(self, ends_at: float) -> float:
        return min(self._connection.credential.timeout, ends_at - time.monotonic())

    def _sent(
        self, sdk: Sdk, ready: _Ready, call: Call, details: Mapping[str, object], ends_at: float
    ) -> Reply:
        from .errors import UNREADABLE, forget_bodies, translated, unreadable

        try:
            response = sdk.send(ready.sdk, call.operation, details, self._connection, ends_at)
            return Reply(response.data, response.headers.get("opc-request-id"))
        except Exception as exc:
            error = translated(exc, call)
            if error is not None:
                forget_bodies(exc)
                raise error from exc
            if not isinstance(exc, UNREADABLE):
                raise
            name = type(exc).__name__
        # Outside the except block on purpose: these exceptions carry the reply's body, plaintext
        # DEK and all, so neither __cause__ nor __context__ may keep them.
        raise unreadable(name, call)

    def _forget(self) -> None:
        if self._ready is not None:
            self._ready.sdk.base_client.session.close()
        self._ready = None

"""The one client of a vault's crypto endpoint: made at first use, its failures translated."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksm_storage.plugin import AuthenticationError, KsmStorageError, quiet_logs

from .key_names import KeyName
from .options import Connection
from .refusal import Call

if TYPE_CHECKING:
    from .credentials import Credentials

SDK_LOGGERS = ("oci", "urllib3", "circuitbreaker")
PERMISSIONS = {"encrypt": "KEY_ENCRYPT", "decrypt": "KEY_DECRYPT"}


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold what came back: the service's model of the data, and the request id."""

    data: Any
    request_id: str | None

    def optional_text(self, name: str) -> str | None:
        """Return a member that is a text with something in it, or None."""
        value = getattr(self.data, name, None)
        return value if isinstance(value, str) and value else None


@dataclass(frozen=True, slots=True)
class _Ready:
    sdk: Any
    credentials: Credentials


class VaultClient:
    """Call a vault through one client, which is made at the first call and safe across threads."""

    def __init__(self, name: KeyName, connection: Connection) -> None:
        self._name = name
        self._connection = connection
        self._lock = threading.Lock()
        self._ready: _Ready | None = None
        self._process = 0

    def encrypt(self, details: Mapping[str, object]) -> Reply:
        """Call ``Encrypt``; the details are the members of ``EncryptDataDetails``.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        return self._called("encrypt", details)

    def decrypt(self, details: Mapping[str, object]) -> Reply:
        """Call ``Decrypt``; the details are the members of ``DecryptDataDetails``.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        return self._called("decrypt", details)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._forget()

    def _called(self, operation: str, details: Mapping[str, object]) -> Reply:
        # The import first: it takes longer than a call, and only loggers that exist are silenced.
        from . import sdk_client  # noqa: F401

        ends_at = time.monotonic() + self._connection.deadline
        with quiet_logs(*SDK_LOGGERS):
            endpoint = self._endpoint()
            call = Call(operation, str(self._name), PERMISSIONS[operation], endpoint)
            ready = self._made_ready(call, ends_at)
            try:
                return self._sent(ready, call, details, ends_at)
            except AuthenticationError:
                # Another token or key may lie in the files by the next call.
                self.close()
                raise

    def _endpoint(self) -> str:
        if self._connection.endpoint is not None:
            return self._connection.endpoint
        from .endpoint import crypto_endpoint

        return crypto_endpoint(self._name, region=self._connection.region)

    def _made_ready(self, call: Call, ends_at: float) -> _Ready:
        with self._lock:
            # A connection shared with a parent process would mix up whose reply is whose.
            if self._ready is None or self._process != os.getpid():
                self._ready = self._create(call, ends_at)
                self._process = os.getpid()
            else:
                self._refresh(self._ready, call, ends_at)
            return self._ready

    def _create(self, call: Call, ends_at: float) -> _Ready:
        from . import credentials
        from .errors import credential_error
        from .sdk_client import create_client

        choice = self._connection.credential
        try:
            found = credentials.load_credentials(
                choice, region=self._name.region, seconds=self._credential_seconds(ends_at)
            )
            return _Ready(create_client(found, self._connection, endpoint=call.endpoint), found)
        except KsmStorageError:
            raise
        # What goes wrong on the way to credentials is of every kind; none of it is a bug here.
        except Exception as exc:
            raise credential_error(exc, choice.kind, call) from exc

    def _refresh(self, ready: _Ready, call: Call, ends_at: float) -> None:
        from .errors import credential_error

        try:
            ready.credentials.refresh(self._credential_seconds(ends_at))
        except Exception as exc:  # as above
            raise credential_error(exc, self._connection.credential.kind, call) from exc

    def _credential_seconds(self, ends_at: float) -> float:
        return min(self._connection.credential.timeout, ends_at - time.monotonic())

    def _sent(
        self, ready: _Ready, call: Call, details: Mapping[str, object], ends_at: float
    ) -> Reply:
        from .errors import UNREADABLE, forget_bodies, translated, unreadable
        from .sdk_client import send

        try:
            response = send(ready.sdk, call.operation, details, self._connection, ends_at)
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

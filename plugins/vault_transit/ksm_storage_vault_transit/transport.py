"""One HTTP exchange with the server or its agent: no redirect, no retry, no log."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ksm_storage.plugin import Connection, proxy_for

if TYPE_CHECKING:
    from .hooks import Address

MAX_REPLY = 1 << 20


class ReplyError(Exception):
    """Hold what the server answered in the place of success.

    Attributes:
        status: The HTTP status.
        texts: What the server says is wrong. It has no codes.
    """

    def __init__(self, status: int, texts: tuple[str, ...]) -> None:
        super().__init__(f"HTTP status {status}: {'; '.join(texts)}")
        self.status = status
        self.texts = texts


class LoginError(ReplyError):
    """Hold the refusal of a login; its texts are not shown, for they may quote the claims."""

    def __init__(self, status: int, texts: tuple[str, ...]) -> None:
        super().__init__(status, texts)
        self.args = (f"HTTP status {status}",)


class AgentSocketError(ConnectionError):
    """Report a Unix socket without a listener, or without permission to open it."""


class Transport:
    """Send requests, each over a connection of its own; safe across threads and forks."""

    def __init__(self, address: Address, connection: Connection) -> None:
        self._address = address
        self._timeouts = connection
        self._context = _tls_context(address, connection.ca_file)

    def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: Mapping[str, object] | None
    ) -> Mapping[str, Any]:
        """Return the JSON object of a successful reply; an empty one for a reply without a body.

        Raises:
            ReplyError: The server refused, failed or redirected.
            OSError, HTTPException, ValueError: There was no reply, or none that can be read.
        """
        connection = self._connection()
        try:
            connection.connect()
            # The time-out was for connecting; the server has another one to answer.
            if connection.sock is not None:
                connection.sock.settimeout(self._timeouts.read_timeout)
            sent = None if body is None else json.dumps(body).encode()
            connection.request(method, f"{self._prefix}/v1/{path}", sent, dict(headers))
            response = connection.getresponse()
            received = response.read(MAX_REPLY + 1)
        finally:
            connection.close()
        return _document(response.status, received)

    @property
    def _prefix(self) -> str:
        return urlsplit(self._address.url).path

    def _connection(self) -> http.client.HTTPConnection:
        timeout = self._timeouts.connect_timeout
        if self._address.socket is not None:
            return _SocketConnection(self._address.socket, timeout)
        parts = urlsplit(self._address.url)
        host, port = str(parts.hostname), parts.port
        if self._context is None:
            # To this machine only, and never by a proxy: the data key is in the clear.
            return http.client.HTTPConnection(host, port or 80, timeout=timeout)
        proxy = proxy_for(host, port or 443)
        if proxy is None:
            return http.client.HTTPSConnection(
                host, port or 443, timeout=timeout, context=self._context
            )
        proxy.require_http()
        via = http.client.HTTPSConnection(
            proxy.host, proxy.port, timeout=timeout, context=self._context
        )
        via.set_tunnel(host, port or 443, proxy.headers)
        return via


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(self.timeout)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
        else:
            self.sock = sock
            return
        # Outside the block: a socket that is missing is not a file that cannot be read.
        raise AgentSocketError


def _tls_context(address: Address, ca_file: str | None) -> ssl.SSLContext | None:
    if not address.url.startswith("https://"):
        return None
    if ca_file is not None and os.path.isdir(ca_file):
        return ssl.create_default_context(capath=ca_file)
    return ssl.create_default_context(cafile=ca_file)


def _document(status: int, received: bytes) -> Mapping[str, Any]:
    if len(received) > MAX_REPLY:
        raise http.client.HTTPException("the reply is too long")
    if not 200 <= status < 300:
        raise ReplyError(status, _texts(received))
    try:
        document = json.loads(received) if received else {}
    except (ValueError, RecursionError):
        document = None
    # Not in the except block: a parser's exception keeps the whole reply, which may hold a DEK.
    if not isinstance(document, dict):
        raise ValueError
    return document


def _texts(received: bytes) -> tuple[str, ...]:
    try:
        document = json.loads(received)
    except (ValueError, RecursionError):
        return ()
    errors = document.get("errors") if isinstance(document, dict) else None
    return tuple(str(text) for text in errors) if isinstance(errors, list) else ()

"""Requests over HTTP without a client library, by the rules of the kit.

For services that have none, and for the first unwrap of a start: most of what that costs under a
cloud key is the import of the vendor's client (docs/decisions/0110-direct-calls.md).
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import random
import socket
import ssl
import stat
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from ..named_tuple import NamedTuple
from ..network import Connection, is_plain_http, proxy_for
from .service_client import NotDirectError, current_deadline, seconds_left, within_deadline

if TYPE_CHECKING:
    from configparser import RawConfigParser

    from .direct_calls import KeptConnection

# A reply holds a data key and some names.
MAX_REPLY = 1_048_576
MAX_ATTEMPTS = 4
_RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})


class HttpReply(NamedTuple):
    """Hold a reply; its body may hold a data key, so it is in no ``repr``."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<HttpReply {self.status}, {len(self.body)} bytes>"


class RedirectRefusedError(Exception):
    """Report a redirect, which would take the data key to another address; ``status`` is its."""

    def __init__(self, status: int) -> None:
        super().__init__(f"redirect refused (status {status})")
        self.status = status


class HttpApi:
    """Send requests to one address; safe across threads and across a fork.

    TLS with the caller's CA file; the proxy of the environment, but none for plain HTTP to this
    machine; no redirect; a reply of at most 1 MiB; repeats where that is safe, within the
    deadline.

    Args:
        url: The address, checked by ``validate_endpoint``.
        connection: The CA file and the time-outs.
        attempts: How often a request is sent at most; 1 for what must not happen twice.
        kept: Whether connections stay open for the next requests, until :meth:`close`. If the
            service closed an idle one before any byte of the reply, the request is sent again,
            once and on a new connection.
        address: The host and port to connect to instead, over TLS and through no proxy; the
            certificate must still be that of the URL's host.
    """

    def __init__(
        self,
        url: str,
        connection: Connection,
        *,
        attempts: int = MAX_ATTEMPTS,
        kept: bool = False,
        address: tuple[str, int] | None = None,
    ) -> None:
        parts = urlsplit(url)
        self._netloc = parts.netloc
        self._host = parts.hostname or ""
        self._port = parts.port
        self._path = parts.path.rstrip("/")
        self._is_plain = is_plain_http(url)
        self._connection = connection
        self._attempts = attempts
        self._address = address
        self._tls = _Tls(connection.ca_file)
        self._kept = kept
        # By process: a connection shared with a parent would mix up whose reply is whose.
        self._idle: dict[int, list[KeptConnection]] = {}

    def to(self, url: str) -> HttpApi:
        """Return one for another address, which shares the certificate authorities once loaded."""
        other = HttpApi(url, self._connection, attempts=self._attempts)
        other._tls = self._tls
        return other

    def send(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str]
    ) -> HttpReply:
        """Send a request that may be repeated, and return the reply whatever its status.

        A reply of 429 or 5xx, and a connection that fails, are tried again while the deadline of
        the call allows it.

        Raises:
            OSError, http.client.HTTPException: No attempt brought a reply.
            RedirectRefusedError: The reply is a redirect.
            SettingsError: The proxy of the environment is invalid, or spoken to over TLS.
        """
        for attempt in range(1, self._attempts + 1):
            pause = 0.2 * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311  # a pause, no key
            is_last = attempt == self._attempts or not self._allows(pause)
            try:
                send = self._sent_on_kept if self._kept else self._sent
                reply = send(method, self._path + path, body, headers)
            except (OSError, http.client.HTTPException) as exc:
                from .error_table import is_final_failure

                if is_last or is_final_failure(exc):
                    raise
            else:
                if 300 <= reply.status < 400:
                    raise RedirectRefusedError(reply.status)
                if is_last or reply.status not in _RETRIED_STATUSES:
                    return reply
                pause = max(pause, _advised(reply))
                if not self._allows(pause):
                    return reply
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Close the connections of this process that are kept; the next request opens another."""
        for connection in self._idle.pop(os.getpid(), []):
            connection.close()

    def _sent_on_kept(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> HttpReply:
        request = (method, path, body, headers)
        connection = self._taken()
        if connection is not None:
            try:
                return self._exchanged(connection, *request)
            except OSError as exc:
                if connection.is_answered or isinstance(exc, TimeoutError):
                    raise
        # Nothing else bounds the resolver.
        return self._exchanged(within_deadline(self._opened), *request)

    def _taken(self) -> KeptConnection | None:
        """Return a connection that seems alive, the last one used first."""
        idle = self._idle.setdefault(os.getpid(), [])
        while idle:
            # Threads share the list: another may take the last one first.
            with suppress(IndexError):
                connection = idle.pop()
                if connection.is_idle:
                    return connection
                connection.close()
        return None

    def _opened(self) -> KeptConnection:
        from .direct_calls import KeptConnection

        link = self._connected(min(self._connection.connect_timeout, seconds_left()))
        seconds = self._connection.read_timeout
        return KeptConnection(link.sock, host=self._netloc, read_timeout=seconds)

    def _exchanged(
        self,
        connection: KeptConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> HttpReply:
        try:
            reply = HttpReply(*connection.exchange(method, path, body, headers))
        except BaseException:
            connection.close()
            raise
        if connection.is_reusable:
            self._idle.setdefault(os.getpid(), []).append(connection)
        else:
            connection.close()
        return reply

    def _sent(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> HttpReply:
        link = self._connected(min(self._connection.connect_timeout, seconds_left()))
        try:
            if link.sock is not None:
                link.sock.settimeout(min(self._connection.read_timeout, seconds_left()))
            link.request(method, path, body, dict(headers))
            reply = link.getresponse()
            read = reply.read(MAX_REPLY + 1)
            if len(read) > MAX_REPLY:
                raise http.client.HTTPException("the reply is too long")
            if reply.length:
                # Its own exception for this would hold what came.
                raise http.client.HTTPException("the reply was cut off")
            lower = {name.lower(): value for name, value in reply.getheaders()}
            return HttpReply(reply.status, lower, read)
        finally:
            link.close()

    def _connected(self, seconds: float) -> http.client.HTTPConnection:
        if self._is_plain:
            # To an emulator on this machine. Through a proxy the key would leave it in the clear.
            link = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        else:
            link = self._secure(seconds)
        # Other code may have switched it on for every connection: requests hold credentials.
        link.set_debuglevel(0)
        link.connect()
        return link

    def _secure(self, seconds: float) -> http.client.HTTPSConnection:
        if self._address is not None:
            return _Elsewhere(
                self._host,
                self._address,
                port=self._port,
                timeout=seconds,
                context=self._tls.context,
            )
        proxy = proxy_for(self._host, self._port or 443)
        if proxy is None:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=seconds, context=self._tls.context
            )
        proxy.require_http()
        link = http.client.HTTPSConnection(
            proxy.host, proxy.port, timeout=seconds, context=self._tls.context
        )
        link.set_tunnel(self._host, self._port or 443, headers=proxy.headers)
        return link

    def _allows(self, pause: float) -> bool:
        deadline = current_deadline()
        return deadline is None or deadline.allows(pause + self._connection.attempt)


class _Tls:
    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file

    @cached_property
    def context(self) -> ssl.SSLContext:
        # Made with the first connection: the system's authorities take 20 ms to load.
        path = self._ca_file
        if path is not None and os.path.isdir(path):
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)


def read_ini(path: str, *, default_section: str = "DEFAULT") -> RawConfigParser:
    """Return what a vendor's configuration file holds; nothing if it is missing.

    Raises:
        configparser.Error, ValueError: The file cannot be parsed.
    """
    from configparser import RawConfigParser

    parser = RawConfigParser(default_section=default_section)
    parser.read(os.path.expanduser(path), "utf-8")
    return parser


def only_regular(path: str, flags: int) -> int:
    """Open a file of credentials, as the ``opener`` of ``open``; a pipe would hang the process.

    Raises:
        OSError: It cannot be opened, or is a pipe, a socket or a device.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    # ``open`` itself refuses a folder.
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", path)


def exchange_json(
    api: HttpApi, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Return the JSON object of a reply, and the reply's headers.

    Raises:
        NotDirectError: The service refused the request, or answered with something else.
        OSError, http.client.HTTPException, ValueError: The exchange failed.
    """
    reply = api.send(method, path, body=body, headers=headers)
    if reply.status != 200:
        raise NotDirectError(f"the service replied with status {reply.status}")
    try:
        content = json.loads(reply.body)
    except (ValueError, RecursionError):
        content = None
    # Not in the except block: a parser's exception keeps the whole reply, which may hold a DEK.
    if not isinstance(content, dict):
        raise NotDirectError("the service replied with something else than a JSON object")
    return content, reply.headers


def exchange_form(api: HttpApi, path: str, form: Mapping[str, str]) -> dict[str, Any]:
    """Post a form, as a token endpoint wants it, and return the JSON object of the reply.

    Raises:
        NotDirectError, OSError, http.client.HTTPException, ValueError: As :func:`exchange_json`.
    """
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return exchange_json(api, "POST", path, headers, urlencode(form).encode())[0]


def exchange_with_token(
    api: HttpApi, path: str, token: str, content: Mapping[str, object]
) -> dict[str, Any]:
    """Post a JSON object with a bearer token, and return the JSON object of the reply.

    Raises:
        NotDirectError, OSError, http.client.HTTPException, ValueError: As :func:`exchange_json`.
    """
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    return exchange_json(api, "POST", path, headers, json.dumps(content).encode())[0]


def to_base64(data: bytes) -> str:
    """Return the base64 of a member of a request."""
    return b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Return the bytes of a member of a reply; ValueError if they are not base64."""
    return b64decode(text, validate=True)


class _Elsewhere(http.client.HTTPSConnection):
    """Connect to another address; TLS checks the name of the URL's host."""

    def __init__(
        self,
        host: str,
        address: tuple[str, int],
        *,
        port: int | None,
        timeout: float,
        context: ssl.SSLContext,
    ) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._address, self._tls = address, context

    def connect(self) -> None:
        """Connect and shake hands."""
        plain = socket.create_connection(self._address, self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def _advised(reply: HttpReply) -> float:
    advice = reply.headers.get("retry-after", "")
    return float(advice) if advice.isdigit() else 0.0

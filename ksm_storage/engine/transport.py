"""HTTPS: one verified connection per request, with time-outs, a private CA and proxies.

The protocol is written once, as coroutines that wait only for their transport. Over the blocking
one of this module they never suspend, and :func:`run` takes each in one step to its end; over that
of :mod:`.async_transport` an event loop runs them.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import quote, urljoin, urlsplit

from .. import __version__
from ..errors import KsmStorageError, VaultError
from ..network import Proxy, ca_variable, parse_proxy, proxy_for, trusted_authorities
from . import late_errors as errors
from .device import HOSTS

_T = TypeVar("_T")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
# Far above the answer of an application with 100,000 records.
MAX_ANSWER_BYTES = 1 << 29
_PIECE_BYTES = 1 << 18
# The characters of an address; anything else is percent-encoded, as browsers do.
_SAFE = "/?:@!$&'()*+,;=%~[]"
# 24 days: poll() counts milliseconds in 32 bits.
_MAX_TIMEOUT_SECONDS = 2_000_000.0

# Above what a thread that holds the gate can take; also the way out where that is an event loop
# that this very thread has to run.
_MAX_GATE_SECONDS = 600.0

# OpenSSL's numbers, X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH, then
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_OTHER_NAME = frozenset({62, 64})
_OUTSIDE_VALIDITY = frozenset({9, 10})
# What http.client says when a proxy answers CONNECT with anything but success.
_TUNNEL_REFUSED = re.compile("Tunnel connection failed: ([0-9]{3})")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Hold status and body of an answer, and two of its headers."""

    status: int
    body: bytes
    retry_after: str | None = None
    location: str | None = None


class Transport(Protocol):
    """What the protocol waits for: the network, a lock, slow work, and a change to its end."""

    def check_authorities(self) -> None:
        """Raise SettingsError if the environment names authorities that cannot be used."""

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, proxy_url: str | None = None
    ) -> HttpAnswer:
        """Post the body and return the answer, whatever its status.

        Raises:
            ServerUnreachableError: No connection, no trusted certificate, or no answer in time.
            ServerAnswerError: More than ``MAX_ANSWER_BYTES``.
        """

    async def get(self, url: str, *, limit: int, proxy_url: str | None = None) -> HttpAnswer:
        """Get at most ``limit`` bytes, following a few redirects to https addresses.

        Raises:
            ServerUnreachableError: As for :meth:`post`.
            ServerAnswerError: More than ``limit`` bytes, or too many redirects.
        """

    async def acquire(self, lock: threading.Lock) -> None:
        """Take a lock that another thread or task may hold for long."""

    async def work(self, call: Callable[[], _T]) -> _T:
        """Return what a call returns that reads a file or may ask a key service."""

    async def finish(self, call: Coroutine[Any, Any, _T]) -> _T:
        """Run a change to its end, even if its caller is cancelled."""


def run(call: Coroutine[Any, Any, _T]) -> _T:
    """Return what a coroutine over the blocking transport returns."""
    try:
        call.send(None)
    except StopIteration as done:
        return cast("_T", done.value)  # the coroutine's own type
    call.close()
    raise RuntimeError("a coroutine over the blocking transport must not suspend")


class HttpsTransport:
    """Send requests; certificates are always verified and every wait is bounded."""

    def __init__(
        self,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        proxy_url: str | None = None,
        connect_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 60.0,
    ) -> None:
        """Check a private CA now, so that a wrong path is known before anything is sent."""
        self._tls = Tls(ca_file)
        self._proxy_url = proxy_url
        self._connect_timeout = bounded_timeout(connect_timeout_seconds)
        self._read_timeout = bounded_timeout(read_timeout_seconds)

    def check_authorities(self) -> None:
        """Check the authorities of the environment; see :class:`Transport`."""
        _ = self._tls.authorities

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, proxy_url: str | None = None
    ) -> HttpAnswer:
        """Post the body; see :class:`Transport`."""
        proxy_url = proxy_url or self._proxy_url
        return self._exchange("POST", url, headers, body, MAX_ANSWER_BYTES, proxy_url)

    async def get(self, url: str, *, limit: int, proxy_url: str | None = None) -> HttpAnswer:
        """Get at most ``limit`` bytes; see :class:`Transport`."""

        async def get_once(url: str) -> HttpAnswer:
            return self._exchange("GET", url, {}, None, limit, proxy_url or self._proxy_url)

        return await following_redirects(get_once, url)

    async def acquire(self, lock: threading.Lock) -> None:
        """Wait for the lock; see :class:`Transport`."""
        if not lock.acquire(timeout=_MAX_GATE_SECONDS):
            raise errors.ServerThrottledError(
                "another call of this process has been throttled for too long",
                hint="send fewer requests, or ask for more records at once",
            )

    async def work(self, call: Callable[[], _T]) -> _T:
        """Call it at once; see :class:`Transport`."""
        return call()

    async def finish(self, call: Coroutine[Any, Any, _T]) -> _T:
        """Run it; nothing can cancel a blocking call. See :class:`Transport`."""
        return await call

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        limit: int,
        proxy_url: str | None,
    ) -> HttpAnswer:
        host, port, target = split_url(url)
        connection = _Connection(
            host, port, context=self._tls.context, timeout=self._connect_timeout
        )
        proxy = chosen_proxy(host, port, given=proxy_url)
        if proxy is not None:
            proxy.require_http()
            connection.go_through(proxy)
        try:
            connection.connect()
            # The socket has one time-out: until here for connecting, from here on for reading.
            connection.sock.settimeout(self._read_timeout)
            connection.request(method, target, body=body, headers=with_agent(headers))
            return _read(connection.getresponse(), limit=limit)
        except ssl.SSLCertVerificationError as exc:
            raise untrusted(exc, host, proxy) from exc
        # UnicodeError: a name that cannot be one in DNS, such as a..b.
        except (OSError, http.client.HTTPException, UnicodeError) as exc:
            raise unreachable(exc, host=host, port=port, proxy=proxy) from exc
        finally:
            connection.close()


class _Connection(http.client.HTTPSConnection):
    """Connect directly or through a proxy; the proxy's address is the one to dial."""

    sock: socket.socket

    def go_through(self, proxy: Proxy) -> None:
        target, port = self.host, self.port
        self.host, self.port = proxy.host, proxy.port
        self.set_tunnel(target, port, headers=proxy.headers)


async def following_redirects(
    get_once: Callable[[str], Coroutine[Any, Any, HttpAnswer]], url: str
) -> HttpAnswer:
    """Return the first answer that is not a redirect; raise ServerAnswerError after a few."""
    for _ in range(_MAX_REDIRECTS + 1):
        answer = await get_once(url)
        if answer.status not in _REDIRECTS or not answer.location:
            return answer
        url = _joined(url, answer.location)
    raise errors.ServerAnswerError(
        f"the download was redirected more than {_MAX_REDIRECTS} times", operation="download"
    )


def chosen_proxy(host: str, port: int, *, given: str | None) -> Proxy | None:
    """Return the given proxy, else the environment's; raise SettingsError for an invalid one."""
    if given:
        return parse_proxy(given, named="the argument proxy_url (--proxy)")
    return proxy_for(host, port)


def bounded_timeout(seconds: float) -> float:
    """Return a time-out that every system can wait for; raise ClientSettingsError for no time."""
    # Not None either: the constructor rules out a wait without an end.
    if not isinstance(seconds, (int, float)) or not seconds > 0:
        raise errors.ClientSettingsError(
            "a server time-out must be a number of seconds above 0",
            hint="leave it out for 10 seconds to connect and 60 to read",
        )
    return min(seconds, _MAX_TIMEOUT_SECONDS)


class Tls:
    """Verify servers by a private CA or by the system's; certificates are loaded when needed."""

    def __init__(self, ca_file: str | os.PathLike[str] | None) -> None:
        """Check a private CA; raise SettingsError if it is missing or is not PEM."""
        # Those of the environment are checked when they are needed: for a bundle of the system,
        # the check takes longer than a small request.
        self._given = None if ca_file is None else trusted_authorities(os.fspath(ca_file))

    @cached_property
    def authorities(self) -> str | None:
        """Return the file or folder to trust, None for the system's authorities.

        Raises:
            SettingsError: That of the environment is missing or is not PEM.
        """
        return self._given or trusted_authorities(None)

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Return the context of all connections."""
        # Loaded with the first connection: a bundle of the system takes longer than a request.
        path = self.authorities
        try:
            if path is not None and os.path.isdir(path):
                context = ssl.create_default_context(capath=path)
            else:
                context = ssl.create_default_context(cafile=path)
        except OSError as exc:
            raise _not_pem(path) from exc
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def _not_pem(path: str | None) -> KsmStorageError:
    return errors.ClientSettingsError(f"cannot read the CA file {path or ''!r} as PEM certificates")


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise _invalid_address() from None


def split_url(url: str) -> tuple[str, int, str]:
    """Return host, port and encoded target of an https address; raise ServerAnswerError."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        raise _invalid_address() from None
    if parts.scheme != "https" or not parts.hostname:
        raise errors.ServerAnswerError(
            "an address from the server is not https", operation="connect"
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.hostname, port, quote(target, safe=_SAFE, errors="replace")


def _invalid_address() -> VaultError:
    # Without the parser's text, which repeats a part of what may hold a ticket.
    return errors.ServerAnswerError("an address from the server is invalid", operation="connect")


def with_agent(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with those that every request has."""
    return {"User-Agent": f"ksm-storage/{__version__}", "Connection": "close", **headers}


def _read(response: http.client.HTTPResponse, *, limit: int) -> HttpAnswer:
    body = bytearray()
    while piece := response.read(_PIECE_BYTES):
        body += piece
        if len(body) > limit:
            raise too_long(limit)
    # A bounded read does not mind an answer that is shorter than was announced.
    if response.length:
        raise http.client.IncompleteRead(bytes(body), response.length)
    return HttpAnswer(
        response.status,
        bytes(body),
        retry_after=response.getheader("Retry-After"),
        location=response.getheader("Location"),
    )


def too_long(limit: int) -> VaultError:
    """Return the error for an answer of more bytes than expected."""
    return errors.ServerAnswerError(
        f"the answer is longer than {limit} bytes", operation="download"
    )


# Why no answer came, in words of our own: the cause's text may repeat what was sent.


def untrusted(
    exc: ssl.SSLCertVerificationError, host: str, proxy: Proxy | None = None
) -> VaultError:
    """Return the error for a certificate that cannot be verified."""
    message = f"the certificate of {host!r} is not trusted"
    hint = "pass the CA that signed it as ca_file"
    if proxy is not None:
        hint = f"the proxy '{proxy}' of {proxy.named} probably inspects TLS: {_ca_advice()}"
    if exc.verify_code in _OTHER_NAME:
        message += ": it was issued for another name"
        hint = "use the hostname in the certificate"
    elif exc.verify_code in _OUTSIDE_VALIDITY:
        message += ": it has expired or is not valid yet"
        hint = "check the clock of this host; if it is right, the server needs a new certificate"
    return errors.ServerUnreachableError(message, hint=hint, operation="connect")


def unreachable(exc: Exception, *, host: str, port: int, proxy: Proxy | None) -> VaultError:
    """Return the error for a connection that failed or timed out."""
    server = repr(f"{host}:{port}")
    peer = server if proxy is None else f"the proxy '{proxy}' of {proxy.named}"
    hint = "check the network, the proxy and the hostname"
    if proxy is not None:
        hint = "check the proxy's address, and its scheme: http:// or https://"
    if isinstance(exc, (socket.gaierror, UnicodeError)):
        name = host if proxy is None else proxy.host
        message, hint = f"cannot resolve the hostname {name!r}", _resolve_hint(name)
        if proxy is not None:
            hint = f"check {proxy.named}, the network, and DNS on this host (/etc/resolv.conf)"
    elif proxy is not None and (status := _TUNNEL_REFUSED.search(str(exc))):
        message, hint = _refused(peer, server, proxy, status[1])
    elif isinstance(exc, TimeoutError):
        message = f"{peer} did not answer in time"
    else:
        message = f"cannot connect to {peer}"
    return errors.ServerUnreachableError(message, hint=hint, operation="connect")


def _refused(peer: str, server: str, proxy: Proxy, status: str) -> tuple[str, str]:
    if status == "407":
        return (
            f"{peer} requires a valid user and password",
            f"write them in {proxy.named} as http://USER:PASSWORD@HOST:PORT, with special "
            "characters percent-encoded; only Basic authentication is supported",
        )
    if status == "403":
        hint = "allow the server on the proxy, or list it in NO_PROXY if it is reachable without"
        return f"{peer} refused to connect to {server}", hint
    hint = "check the hostname, and that the proxy can reach it"
    return f"{peer} could not connect to {server} (status {status})", hint


def _ca_advice() -> str:
    found = ca_variable()
    if found is None:
        return "name a file with its CA certificate in SSL_CERT_FILE, or pass it as ca_file"
    return f"add its CA certificate to those of {found.name}, or pass it as ca_file"


def _resolve_hint(name: str) -> str:
    if "." in name:
        return "check the hostname, the network, and DNS on this host (/etc/resolv.conf, a VPN)"
    # Most likely the first part of a one-time token.
    return f"the regions are {', '.join(HOSTS)}; otherwise use a hostname"

"""HTTPS: one verified connection per request, with time-outs, a private CA and proxies."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from .. import __version__
from ..errors import SettingsError
from .errors import ServerAnswerError
from .proxy import Proxy, proxy_for
from .unreachable import unreachable, untrusted

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 3
# Far above the answer of an application with 100,000 records.
MOST_ANSWER_BYTES = 1 << 29
_PIECE_BYTES = 1 << 18
# What an address is made of; anything beyond that is percent-encoded, as browsers do.
_WRITTEN_AS_THEY_ARE = "/?:@!$&'()*+,;=%~[]"
# 24 days: poll() counts milliseconds in 32 bits.
_LONGEST_TIMEOUT_SECONDS = 2_000_000.0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Hold status and body of an answer, and the header that asks for patience."""

    status: int
    body: bytes
    retry_after: str | None = None
    location: str | None = None


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
        """Read the CA now, so that a wrong path is known before a token is spent."""
        self._context = _tls_context(ca_file)
        self._proxy_url = proxy_url
        self._connect_timeout = _bounded(connect_timeout_seconds)
        self._read_timeout = _bounded(read_timeout_seconds)

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Post the body and return the answer, whatever its status.

        Raises:
            ServerUnreachableError: No connection, no trusted certificate, or no answer in time.
            ServerAnswerError: More than ``MOST_ANSWER_BYTES``.
        """
        return self._exchange("POST", url, headers=headers, body=body, limit=MOST_ANSWER_BYTES)

    def get(self, url: str, *, limit: int) -> HttpAnswer:
        """Get at most ``limit`` bytes, following a few redirects to https addresses.

        Raises:
            ServerUnreachableError: As for :meth:`post`.
            ServerAnswerError: More than ``limit`` bytes, or too many redirects.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._exchange("GET", url, headers={}, body=None, limit=limit)
            if answer.status not in _REDIRECTS or not answer.location:
                return answer
            url = _joined(url, answer.location)
        raise ServerAnswerError("the download was redirected too often", operation="download")

    def _exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        limit: int,
    ) -> HttpAnswer:
        host, port, target = _taken_apart(url)
        connection = _Connection(host, port, context=self._context, timeout=self._connect_timeout)
        proxy = proxy_for(host, port, given=self._proxy_url)
        if proxy is not None:
            connection.go_through(proxy)
        try:
            connection.connect()
            # The socket's one time-out served for connecting; from here on it is for reading.
            connection.sock.settimeout(self._read_timeout)
            connection.request(method, target, body=body, headers=_with_agent(headers))
            return _read(connection.getresponse(), limit=limit)
        except ssl.SSLCertVerificationError as exc:
            raise untrusted(exc, host) from exc
        # UnicodeError: a name that cannot be one in DNS, such as a..b.
        except (OSError, http.client.HTTPException, UnicodeError) as exc:
            raise unreachable(exc, host=host, port=port, proxy=proxy) from exc
        finally:
            connection.close()


class _Connection(http.client.HTTPSConnection):
    """Connect directly or through a proxy; the proxy's address is the one that is dialled."""

    sock: socket.socket

    def go_through(self, proxy: Proxy) -> None:
        target, port = self.host, self.port
        self.host, self.port = proxy.host, proxy.port
        self.set_tunnel(target, port, headers=proxy.headers)


def _bounded(seconds: float) -> float:
    # Not None either: a wait without an end is what the constructor rules out.
    if not isinstance(seconds, (int, float)) or not seconds > 0:
        raise SettingsError(
            "a time-out of the server is a number of seconds above 0",
            hint="leave it out for 10 seconds to connect and 60 to read",
        )
    return min(seconds, _LONGEST_TIMEOUT_SECONDS)


def _tls_context(ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext:
    # REQUESTS_CA_BUNDLE is what users of the official package have set for a private CA.
    chosen = ca_file or os.environ.get("REQUESTS_CA_BUNDLE") or None
    try:
        context = ssl.create_default_context(cafile=chosen)
    # ValueError: a path with a zero byte.
    except (OSError, ValueError) as exc:
        raise SettingsError(
            f"the CA file {os.fspath(chosen or '')!r} cannot be read as PEM certificates"
        ) from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise _no_address() from None


def _taken_apart(url: str) -> tuple[str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        raise _no_address() from None
    if parts.scheme != "https" or not parts.hostname:
        raise ServerAnswerError("an address of the server is not https", operation="connect")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.hostname, port, quote(target, safe=_WRITTEN_AS_THEY_ARE, errors="replace")


def _no_address() -> ServerAnswerError:
    # Without the parser's text, which repeats a part of what may hold a ticket.
    return ServerAnswerError("an address of the server is none", operation="connect")


def _with_agent(headers: Mapping[str, str]) -> dict[str, str]:
    return {"User-Agent": f"ksm-storage/{__version__}", "Connection": "close", **headers}


def _read(response: http.client.HTTPResponse, *, limit: int) -> HttpAnswer:
    body = bytearray()
    # In pieces: one bounded read would make room for the whole limit before a byte has come.
    while piece := response.read(_PIECE_BYTES):
        body += piece
        if len(body) > limit:
            raise ServerAnswerError(
                f"the answer is longer than {limit} bytes", operation="download"
            )
    # A bounded read does not mind an answer that is shorter than was announced.
    if response.length:
        raise http.client.IncompleteRead(bytes(body), response.length)
    return HttpAnswer(
        response.status,
        bytes(body),
        retry_after=response.getheader("Retry-After"),
        location=response.getheader("Location"),
    )

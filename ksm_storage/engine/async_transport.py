"""HTTPS for an event loop, with the rules of :mod:`.transport`, over aiohttp."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import aiohttp
import yarl

from ..network import Proxy
from . import late_errors as errors
from .transport import (
    MAX_ANSWER_BYTES,
    HttpAnswer,
    Tls,
    bounded_timeout,
    chosen_proxy,
    following_redirects,
    split_url,
    too_long,
    unreachable,
    untrusted,
    with_agent,
)

_T = TypeVar("_T")
_PIECE_BYTES = 1 << 18
# A thread may hold the lock, so it is looked at; whoever holds it waits for seconds.
_LOCK_SECONDS = 0.02


class AsyncHttpsTransport:
    """Send requests without blocking the event loop; see :class:`.transport.Transport`."""

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
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            connect=bounded_timeout(connect_timeout_seconds),
            sock_read=bounded_timeout(read_timeout_seconds),
        )
        # The changes that wait for the server's counter, and those whose caller is cancelled.
        self._sleeping: set[asyncio.Task[Any] | None] = set()
        self._cancelled: set[asyncio.Task[Any] | None] = set()

    def check_authorities(self) -> None:
        """Check the authorities of the environment; see :class:`.transport.Transport`."""
        _ = self._tls.authorities

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, proxy_url: str | None = None
    ) -> HttpAnswer:
        """Post the body; see :class:`.transport.Transport`."""
        proxy_url = proxy_url or self._proxy_url
        return await self._exchange("POST", url, headers, body, MAX_ANSWER_BYTES, proxy_url)

    async def get(self, url: str, *, limit: int, proxy_url: str | None = None) -> HttpAnswer:
        """Get at most ``limit`` bytes; see :class:`.transport.Transport`."""

        async def get_once(url: str) -> HttpAnswer:
            given = proxy_url or self._proxy_url
            return await self._exchange("GET", url, {}, None, limit, given)

        return await following_redirects(get_once, url)

    async def acquire(self, lock: threading.Lock) -> None:
        """Take the lock without blocking the loop; see :class:`.transport.Transport`."""
        while not lock.acquire(blocking=False):
            await asyncio.sleep(_LOCK_SECONDS)

    async def work(self, call: Callable[[], _T]) -> _T:
        """Call it in a thread; see :class:`.transport.Transport`."""
        return await asyncio.to_thread(call)

    async def finish(self, call: Coroutine[Any, Any, _T]) -> _T:
        """Run it in a task of its own; see :class:`.transport.Transport`.

        A cancelled caller gets its CancelledError once the change has ended. A change that waits
        for the server's counter ends at once, as nothing of it has been accepted.
        """
        task = asyncio.ensure_future(call)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task in self._sleeping:
                task.cancel()
            self._cancelled.add(task)
            while not task.done():
                await _settled(task)
            if not task.cancelled():
                task.exception()  # retrieved, so that asyncio does not report it
            raise
        finally:
            self._cancelled.discard(task)

    async def sleep(self, seconds: float) -> None:
        """Wait for the server's counter; a cancelled change does not begin to."""
        task = asyncio.current_task()
        if task in self._cancelled:
            raise asyncio.CancelledError
        self._sleeping.add(task)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._sleeping.discard(task)

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        limit: int,
        proxy_url: str | None,
    ) -> HttpAnswer:
        host, port, target = split_url(url)
        proxy = chosen_proxy(host, port, given=proxy_url)
        authority = f"[{host}]" if ":" in host else host
        # In a thread the first time: it reads a file of many certificates.
        context = await asyncio.to_thread(lambda: self._tls.context)
        try:
            # One connection per request, as in the blocking transport: none goes stale, and
            # nothing has to be closed when the loop ends.
            async with (
                self._session(context) as session,
                session.request(
                    method,
                    yarl.URL(f"https://{authority}:{port}{target}", encoded=True),
                    data=body,
                    headers={"Accept-Encoding": "identity", **with_agent(headers)},
                    allow_redirects=False,
                    proxy=None if proxy is None else f"{proxy.scheme}://{proxy}",
                    proxy_headers=None if proxy is None else proxy.headers,
                ) as response,
            ):
                return await _read(response, limit=limit)
        except aiohttp.ClientConnectorCertificateError as exc:
            raise _certificate_error(exc, host, proxy) from exc
        # UnicodeError, ValueError: a name that cannot be one in DNS.
        except (OSError, aiohttp.ClientError, UnicodeError, ValueError) as exc:
            raise unreachable(_cause(exc), host=host, port=port, proxy=proxy) from exc

    def _session(self, context: ssl.SSLContext) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, force_close=True),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )


async def _settled(task: asyncio.Task[Any]) -> None:
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        # Cancelled again: the change still ends first, and the first cancellation is passed on.
        return


async def _read(response: aiohttp.ClientResponse, *, limit: int) -> HttpAnswer:
    body = bytearray()
    async for piece in response.content.iter_chunked(_PIECE_BYTES):
        body += piece
        if len(body) > limit:
            raise too_long(limit)
    return HttpAnswer(
        response.status,
        bytes(body),
        retry_after=response.headers.get("Retry-After"),
        location=response.headers.get("Location"),
    )


def _certificate_error(
    exc: aiohttp.ClientConnectorCertificateError, host: str, proxy: Proxy | None
) -> Exception:
    found = exc.certificate_error
    if isinstance(found, ssl.SSLCertVerificationError):
        return untrusted(found, host, proxy)
    return errors.ServerUnreachableError(
        f"the certificate of {host!r} is not trusted", operation="connect"
    )


def _cause(exc: Exception) -> Exception:
    """Return the error that :func:`unreachable` expects: aiohttp wraps those of the system."""
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        return OSError(f"Tunnel connection failed: {exc.status}")
    if isinstance(exc, aiohttp.ClientConnectorError):
        return exc.os_error
    return exc

"""Listen, serve over TLS, and stop when told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import SettingsError
from .addresses import bracketed

# What is under way takes far less.
_STOP_SECONDS = 3
_MAX_CONNECTIONS = 512
# Enough for the largest upload; without it, clients that send nothing would hold all connections.
_REQUEST_SECONDS = 120
# How long a connection is kept for the next request.
_IDLE_SECONDS = 5
# SD_LISTEN_FDS_START
_FIRST_INHERITED = 3
_MAX_INHERITED = 16


def serve(
    application: Starlette,
    listeners: Sequence[socket.socket],
    *,
    tls: ssl.SSLContext,
    announce: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT, and finish what was begun before returning.

    Args:
        announce: Called once connections are accepted; a signal during it is not lost.
    """
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        # Otherwise a header could choose the address that a device is locked to.
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        ws="none",
        http=_Protocol,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_STOP_SECONDS,
        timeout_keep_alive=_IDLE_SECONDS,
    )
    config.load()
    config.ssl = tls
    server = _Server(config)
    with _stopping(server):
        announce()
        server.run(list(listeners))


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that accepts connections.

    Raises:
        SettingsError: The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it, the parts of an
    # answer wait 40 ms for each other.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_MAX_CONNECTIONS)
    except OSError as exc:
        listener.close()
        raise SettingsError(
            f"cannot listen on {bracketed(host)}:{port}: {exc.strerror}",
            hint="choose another port",
        ) from exc
    return listener


def inherited_sockets() -> list[socket.socket]:
    """Return the sockets that systemd listens on for this process (``sd_listen_fds(3)``).

    Processes that this one starts do not take them for theirs.

    Raises:
        SettingsError: What was passed is not a listening socket.
    """
    meant_for = os.environ.pop("LISTEN_PID", "")
    count = os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if meant_for != str(os.getpid()) or not count.isdecimal():
        return []
    found = []
    for descriptor in range(_FIRST_INHERITED, _FIRST_INHERITED + min(int(count), _MAX_INHERITED)):
        try:
            os.set_inheritable(descriptor, False)
            passed = socket.socket(fileno=descriptor)
            listens = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as exc:
            raise _not_listening(descriptor) from exc
        if not listens or passed.type != socket.SOCK_STREAM:
            raise _not_listening(descriptor)
        found.append(passed)
    return found


def _not_listening(descriptor: int) -> SettingsError:
    return SettingsError(
        f"descriptor {descriptor} that was passed in LISTEN_FDS is not a listening stream socket",
        hint="use ListenStream= in the .socket unit, with Accept=no",
    )


class _Protocol(H11Protocol):
    """Close a connection on which no whole request arrives in time."""

    _expiry: asyncio.TimerHandle | None = None
    _is_left = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_request()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, on which no next request came."""
        super().timeout_keep_alive_handler()
        self._is_left = True

    def give_up_request(self) -> None:
        """Close the connection unless a whole request is being answered."""
        # Not politely: TLS would wait for the client, or does already.
        if self._is_left or self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.transport.abort()

    def _await_request(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self.loop.call_later(_REQUEST_SECONDS, self.give_up_request)


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Protocol):
                connection.give_up_request()
        await super().shutdown(sockets)


@contextlib.contextmanager
def _stopping(server: uvicorn.Server) -> Iterator[None]:
    # From before the announcement on, so that a signal which comes right after it counts. While
    # the server runs it has handlers of its own, and raises what it got again afterwards: being
    # told to stop is not a failure, so that ends here.
    def stop(*_: object) -> None:
        server.should_exit = True

    handled = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, stop) for number in handled]
    try:
        yield
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)

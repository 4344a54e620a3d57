"""One port for gRPC and REST, as the service has it."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from contextlib import closing, suppress
from typing import Any

from ksm_storage_emulators.listener import HOST, Listener
from ksm_storage_emulators.message import Reply, Request
from ksm_storage_emulators.service import Bench, Service

_PREFACE = b"PRI * HTTP/2.0"
# A TLS record of a handshake; the client's first has the extension of the protocols it offers.
_HANDSHAKE = b"\x16"
_OFFERS_HTTP2 = re.compile(rb"\x00\x10\x00.\x00.(?:\x08grpc-exp)?\x02h2", re.DOTALL)
_PEEKED = 1 << 14
_CHUNK = 1 << 16


class SharedPort(Listener):
    """Listen where gRPC and REST are served, as the service does: HTTP/2 is gRPC's.

    What is in TLS is told apart by the protocols that the client offers, before the handshake.
    """

    def __init__(
        self,
        service: Service,
        bench: Bench,
        *,
        port: int,
        grpc_port: int,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Bind the port, and serve in a thread of its own.

        Raises:
            OSError: The port is taken.
        """
        super().__init__(service, bench, control=_no_control, port=port, tls=None)
        self._grpc_port = grpc_port
        self._rest_tls = tls
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection to its end, in its own thread."""
        # On loopback, a client's first message comes in one piece.
        if _is_http2(request.recv(_PEEKED, socket.MSG_PEEK)):
            with closing(socket.create_connection((HOST, self._grpc_port))) as server:
                _relay(request, server)
            return
        if self._rest_tls is None:
            super().finish_request(request, client_address)
            return
        with closing(self._rest_tls.wrap_socket(request, server_side=True)) as secure:
            super().finish_request(secure, client_address)


def _no_control(request: Request) -> Reply:
    return Reply(404, request.path.encode())


def _is_http2(first: bytes) -> bool:
    if first.startswith(_HANDSHAKE):
        return _OFFERS_HTTP2.search(first) is not None
    return first.startswith(_PREFACE)


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Pass on what either side sends, until both have ended."""
    for each in (one, other):
        # Else a small message waits for the acknowledgement of the one before.
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    back = threading.Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)

"""A threaded loopback HTTP server that can be stopped while clients hold connections."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

from ksm_storage_emulators.connection import Connection
from ksm_storage_emulators.service import Bench, Service

HOST = "127.0.0.1"


class Listener(ThreadingHTTPServer):
    """Serve one service on 127.0.0.1, with TLS when a context is given."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self,
        service: Service,
        bench: Bench,
        *,
        control: Callable[..., Any],
        port: int,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Bind the port; 0 picks a free one."""
        self.service = service
        self.bench = bench
        self.control = control
        self._tls = tls
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        super().__init__((HOST, port), Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; its TLS handshake happens in its own thread."""
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: clients may hang up or distrust the certificate."""

    def stop(self) -> None:
        """Stop accepting, and end every connection, idle and hanging ones too."""
        self.bench.stopping.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            open_connections = list(self._connections)
        for connection in open_connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

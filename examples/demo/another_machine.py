"""Another machine, played by another loopback address: a proxy whose requests come from there."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

OTHER_ADDRESS = "127.0.0.2"
_END_OF_HEAD = b"\r\n\r\n"


def can_play_another_machine() -> bool:
    """Tell whether this system lets a program speak from the second loopback address."""
    with socket.socket() as probe:
        try:
            probe.bind((OTHER_ADDRESS, 0))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def another_machine() -> Iterator[str]:
    """Run a proxy on that address, and give its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        # Wakes the accept, which a close alone does not on every system.
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _serve(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, contextlib.suppress(OSError):
            _tunnel(client)


def _tunnel(client: socket.socket) -> None:
    head = b""
    while _END_OF_HEAD not in head:
        part = client.recv(4096)
        if not part:
            return
        head += part
    host, _, port = head.split()[1].decode("ascii").rpartition(":")
    with socket.create_connection((host, int(port)), 10, (OTHER_ADDRESS, 0)) as server:
        client.sendall(b"HTTP/1.1 200 OK" + _END_OF_HEAD)
        back = threading.Thread(target=_copy, args=(server, client), daemon=True)
        back.start()
        _copy(client, server)
        back.join(5)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65_536):
            target.sendall(part)
    # After a reset, too: the other end would wait for more.
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)

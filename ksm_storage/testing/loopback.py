"""Servers on loopback that behave as networks do when they fail, for tests of plugins."""

from __future__ import annotations

import select
import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit

_POLL_SECONDS = 0.05


class SilentServer:
    """Accept connections and never answer; counts them."""

    def __init__(self) -> None:
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(_POLL_SECONDS)
        self._stopped = threading.Event()
        self._accepted: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def serve(self, link: socket.socket) -> None:  # noqa: ARG002  # for those below
        """Do nothing with a connection until the server stops."""
        self._stopped.wait()

    def __enter__(self) -> SilentServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        for each in [*self._accepted, self._listening]:
            each.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                link, _ = self._listening.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            self._accepted.append(link)
            threading.Thread(target=self._served, args=(link,), daemon=True).start()

    def _served(self, link: socket.socket) -> None:
        try:
            self.serve(link)
        except OSError:
            # Whoever called has gone.
            pass
        finally:
            link.close()


class TricklingServer(SilentServer):
    """Answer one byte at a time, each before a time-out for a single read would come."""

    def serve(self, link: socket.socket) -> None:
        """Send the head of a reply, and then bytes without end."""
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self._stopped.wait(0.1):
            link.sendall(b" ")


class EchoServer(SilentServer):
    """Answer each HTTP request with its own body."""

    def __init__(self, status: int = 200, *, location: str | None = None) -> None:
        super().__init__()
        self._status = status
        self._location = "" if location is None else f"Location: {location}\r\n"

    def serve(self, link: socket.socket) -> None:
        """Read one request and send its body back."""
        link.settimeout(5)
        reader = link.makefile("rb")
        line = reader.readline()
        # One that speaks another protocol, such as gRPC, is hung up on.
        if b"HTTP/1." not in line:
            return
        length = 0
        while (header := reader.readline().strip()) != b"":
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = reader.read(length)
        head = f"HTTP/1.1 {self._status} Echo\r\nContent-Length: {len(body)}\r\n{self._location}"
        link.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)


class Relay(SilentServer):
    """Pass connections on to a service, and count them.

    Attributes:
        url: The relay's own address; empty where no service is given.
    """

    def __init__(self, target: str) -> None:
        super().__init__()
        parts = urlsplit(target)
        self._target = (
            parts.hostname or "",
            parts.port or (443 if parts.scheme == "https" else 80),
        )
        self.url = self.url.replace("http:", f"{parts.scheme}:") + parts.path if target else ""

    def serve(self, link: socket.socket) -> None:
        """Pass bytes both ways until one side hangs up."""
        with socket.create_connection(self._target, timeout=10) as service:
            ends = {link: service, service: link}
            while not self._stopped.is_set():
                ready, _, _ = select.select([*ends], [], [], _POLL_SECONDS)
                for end in ready:
                    data = end.recv(65_536)
                    if not data:
                        return
                    ends[end].sendall(data)


class ConnectProxy(SilentServer):
    """Be an HTTP proxy: pass on what is sent after a CONNECT, whatever it is.

    Attributes:
        asked: The ``host:port`` of each CONNECT, and whether credentials came with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, bool]] = []

    def serve(self, link: socket.socket) -> None:
        """Answer one CONNECT, and pass bytes both ways until one side hangs up."""
        head = b""
        while b"\r\n\r\n" not in head:
            received = link.recv(65_536)
            if not received:
                return
            head += received
        target = head.split(b" ", 2)[1].decode()
        self.asked.append((target, b"proxy-authorization:" in head.lower()))
        host, _, port = target.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10) as service:
            link.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            ends = {link: service, service: link}
            while not self._stopped.is_set():
                ready, _, _ = select.select([*ends], [], [], _POLL_SECONDS)
                for end in ready:
                    data = end.recv(65_536)
                    if not data:
                        return
                    ends[end].sendall(data)

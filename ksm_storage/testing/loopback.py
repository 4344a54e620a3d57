"""Servers on loopback that behave as networks do when they fail, for tests of plugins."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from types import TracebackType
from urllib.parse import urlsplit

_POLL_SECONDS = 0.05


class SilentServer:
    """Accept connections and never answer; counts them.

    Args:
        host: ``127.0.0.1``, or ``::1`` for a server without IPv4.
        tls: With it, callers must speak TLS.
    """

    def __init__(self, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, 0), family=family)
        self._listening.settimeout(_POLL_SECONDS)
        self._stopped = threading.Event()
        self._accepted: list[socket.socket] = []
        place = f"[{host}]" if ":" in host else host
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://{place}:{self._listening.getsockname()[1]}"

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
            if self._tls is not None:
                link = self._tls.wrap_socket(link, server_side=True)
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

    def __init__(
        self, target: str, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(host=host, tls=tls)
        parts = urlsplit(target)
        self._target = _place(target)
        scheme = parts.scheme if tls is None else "https"
        self.url = f"{scheme}:{self.url.partition(':')[2]}{parts.path}" if target else ""

    def serve(self, link: socket.socket) -> None:
        """Pass bytes both ways until one side hangs up."""
        with socket.create_connection(self._target, timeout=10) as service:
            _pass_on(link, service, self._stopped)


class ConnectProxy(SilentServer):
    """Be an HTTP proxy: pass on what is sent after a CONNECT, whatever it is.

    Args:
        target: The URL of the service that every CONNECT leads to; default: the one asked for.
        inspecting: With it, the proxy ends the TLS of callers and opens its own to the service.
        tls: With it, the proxy itself is spoken to over TLS.

    Attributes:
        asked: The ``host:port`` of each CONNECT, and whether credentials came with it.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        inspecting: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls=tls)
        self.asked: list[tuple[str, bool]] = []
        self._target = target
        self._inspecting = inspecting
        if inspecting is not None:
            # gRPC speaks HTTP/2 alone.
            inspecting.set_alpn_protocols(["h2", "http/1.1"])

    def serve(self, link: socket.socket) -> None:
        """Answer one CONNECT, and pass bytes both ways until one side hangs up."""
        head = b""
        while b"\r\n\r\n" not in head:
            received = link.recv(65_536)
            if not received:
                return
            head += received
        asked = head.split(b" ", 2)[1].decode()
        self.asked.append((asked, b"proxy-authorization:" in head.lower()))
        place = _place(self._target or f"https://{asked}")
        with socket.create_connection(place, timeout=10) as service:
            link.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            if self._inspecting is None:
                _pass_on(link, service, self._stopped)
                return
            with (
                self._inspecting.wrap_socket(link, server_side=True) as inner,
                _client_context(inner.selected_alpn_protocol()).wrap_socket(service) as outer,
            ):
                _pass_on(inner, outer, self._stopped)


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _client_context(protocol: str | None) -> ssl.SSLContext:
    # It is the proxy of a test, and the service is the test's own.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocol is not None:
        context.set_alpn_protocols([protocol])
    return context


def _pass_on(link: socket.socket, service: socket.socket, stopped: threading.Event) -> None:
    # select takes no descriptor above 1023, which the tests of an SDK that closes nothing reach.
    with selectors.DefaultSelector() as ends:
        ends.register(link, selectors.EVENT_READ, (link, service))
        ends.register(service, selectors.EVENT_READ, (service, link))
        while not stopped.is_set():
            for ready, _ in ends.select(_POLL_SECONDS):
                end, other = ready.data
                data = _received(end)
                if data == b"":
                    return
                if data is not None:
                    other.sendall(data)


def _received(end: socket.socket) -> bytes | None:
    """Return what has come, nothing at the end, and None where TLS has no data ready."""
    end.settimeout(0)
    try:
        data = end.recv(65_536)
        # What TLS has decrypted already makes no socket readable.
        while data and isinstance(end, ssl.SSLSocket) and end.pending():
            data += end.recv(65_536)
    except ssl.SSLWantReadError:
        return None
    finally:
        end.settimeout(10)
    return data

"""One client connection: read requests, apply the faults on the wire, write replies."""

import logging
import socket
import struct
from collections.abc import Callable
from email.utils import formatdate
from http.client import responses
from http.server import BaseHTTPRequestHandler
from typing import Protocol

from ksm_storage_emulators.admission import Admission, Outcome, admit
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.message import Headers, Reply, Request
from ksm_storage_emulators.service import Bench, Call, Service
from ksm_storage_emulators.transcript import Exchange

CONTROL_PREFIX = "/_emulator/"
MAX_BODY = 1 << 20
_log = logging.getLogger("ksm_storage_emulators")


class _Server(Protocol):
    service: Service
    bench: Bench
    control: Callable[[Request], Reply]


class Connection(BaseHTTPRequestHandler):
    """Handle the requests of one keep-alive connection."""

    protocol_version = "HTTP/1.1"
    # Without these two, each small reply waits some 40 ms for the client's delayed ACK.
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    # Bounds the TLS handshake and idle reads, so that dead peers free their thread.
    timeout = 300
    server: _Server  # type: ignore[assignment]  # our Listener; the library types it loosely

    def _handle(self) -> None:
        request = self._read_request()
        if request is None:
            return
        if request.path.startswith(CONTROL_PREFIX):
            self._write(self.server.control(request))
            return
        self._serve(request)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _read_request(self) -> Request | None:
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not length.isdigit():
            self._refuse(411)
            return None
        if int(length) > MAX_BODY:
            self._refuse(413)
            return None
        body = self.rfile.read(int(length))
        return Request(self.command, self.path, Headers(list(self.headers.items())), body)

    def _refuse(self, status: int) -> None:
        # The body was not read, so whatever follows on this connection is not a request.
        self.close_connection = True
        self._write(Reply(status))

    def _serve(self, request: Request) -> None:
        call = Call(request, self.server.service.operation(request), self.server.bench)
        admission = admit(call.bench, call.operation)
        if admission.outcome is Outcome.ABANDON:
            self._record(call, None)
            self._reset()
            return
        reply = self._answer(call, admission)
        self._record(call, reply)
        if call.bench.faults.take(FaultKind.TRUNCATE, call.operation) is not None:
            self._write_half(reply)
            return
        self._write(reply)

    def _answer(self, call: Call, admission: Admission) -> Reply:
        service = self.server.service
        retry_after = admission.retry_after_seconds
        if admission.outcome is Outcome.THROTTLE:
            return service.throttled(call, retry_after_seconds=retry_after)
        if admission.outcome is Outcome.FAIL:
            return service.failed(call, status=admission.status, retry_after_seconds=retry_after)
        try:
            return service.respond(call)
        except Exception:
            # A bug of the emulator, never a documented error: loud here, plain for the client.
            _log.exception("%s: %s failed", service.name, call.operation)
            return Reply(500, b"emulator bug", {"Content-Type": "text/plain"})

    def _record(self, call: Call, reply: Reply | None) -> None:
        # Before the bytes leave: a test that has its reply must find it in the transcript.
        request = call.request
        exchange = Exchange(
            operation=call.operation,
            method=request.method,
            target=request.target,
            headers=request.headers,
            body=request.body,
            status=None if reply is None else reply.status,
            reply_body=b"" if reply is None else reply.body,
        )
        call.bench.transcript.record(exchange)

    def _write(self, reply: Reply) -> None:
        self.wfile.write(self._head(reply))
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        self.wfile.flush()

    def _write_half(self, reply: Reply) -> None:
        self.close_connection = True
        self.wfile.write(self._head(reply) + reply.body[: len(reply.body) // 2])
        self.wfile.flush()

    def _head(self, reply: Reply) -> bytes:
        fields = {"Date": formatdate(usegmt=True), **reply.headers}
        if reply.status != 204:
            fields["Content-Length"] = str(len(reply.body))
        if self.close_connection:
            fields["Connection"] = "close"
        lines = [f"HTTP/1.1 {reply.status} {responses.get(reply.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _reset(self) -> None:
        # Lingering for zero seconds turns the close into a reset, as a failing network does.
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: targets and bodies may carry secrets."""

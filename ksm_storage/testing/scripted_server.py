"""An HTTP server on loopback that answers what a test tells it to, and keeps what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Generic, TypeVar

_Asked = TypeVar("_Asked")


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold one reply: its status, its body, and whether more bytes are announced than sent."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    missing_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """Hold one request as it came; names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    peer: tuple[str, int]


class ScriptedServer(Generic[_Asked]):
    """Answer each request with ``answer``, or with the next of ``answers`` while there are any.

    Args:
        answer: What is answered at first.
        read: Makes what ``asked`` keeps of a request.
        headers: What each reply has besides its own.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        read: Callable[[Request], _Asked],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.answer = answer
        self.answers: list[Answer] = []
        self.asked: list[_Asked] = []
        self._read = read
        self._headers = headers or {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def reply_to(self, request: Request) -> Answer:
        """Keep the request, and return what to answer now, with every header."""
        self.asked.append(self._read(request))
        answer = self.answers.pop(0) if self.answers else self.answer
        headers = {**self._headers, **answer.headers}
        return Answer(answer.status, answer.body, headers, answer.missing_bytes)

    def __enter__(self) -> ScriptedServer[_Asked]:
        serve = self._server.serve_forever
        threading.Thread(target=serve, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler_of(script: ScriptedServer[_Asked]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = script.reply_to(Request(self.path, headers, body, self.client_address))
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body) + answer.missing_bytes))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = bool(answer.missing_bytes)

        do_GET = do_PUT = do_POST  # noqa: N815  # http.server's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its own name
            pass

    return Handler

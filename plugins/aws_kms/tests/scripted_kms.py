"""An HTTP server that answers what a test tells it to, and keeps what it was asked."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
REQUEST_ID = "0f1e2d3c-aaaa-bbbb-cccc-0123456789ab"
DEK = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold one reply: its status, its body, and whether more bytes are announced than sent."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    missing_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold one request as it came."""

    operation: str
    body: Mapping[str, Any]
    peer: tuple[str, int]
    authorization: str


def refusal(code: str, *, status: int = 400, text: str = "text of the service") -> Answer:
    """Return an error in the form of the protocol."""
    return Answer(status, json.dumps({"__type": code, "message": text}).encode())


def unwrapped(*, key_id: str = ARN, dek: bytes = DEK) -> Answer:
    """Return the reply to a successful Decrypt."""
    return _reply({"KeyId": key_id, "Plaintext": _text(dek)})


def wrapped(*, key_id: str = ARN, ciphertext: bytes = b"c" * 150) -> Answer:
    """Return the reply to a successful Encrypt."""
    return _reply({"KeyId": key_id, "CiphertextBlob": _text(ciphertext)})


class ScriptedKms:
    """Answer each request with ``answer``, or with the next of ``answers`` while there are any."""

    def __init__(self) -> None:
        self.answer = unwrapped()
        self.answers: list[Answer] = []
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def next_answer(self) -> Answer:
        """Return what to answer now."""
        return self.answers.pop(0) if self.answers else self.answer

    def __enter__(self) -> ScriptedKms:
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


def _handler_of(script: ScriptedKms) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            read = json.loads(body) if operation else {}
            script.asked.append(
                Asked(operation, read, self.client_address, self.headers["Authorization"] or "")
            )
            self._send(script.next_answer())

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("x-amzn-RequestId", REQUEST_ID)
            self.send_header("Content-Length", str(len(answer.body) + answer.missing_bytes))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = bool(answer.missing_bytes)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its own name
            pass

    return Handler


def _reply(body: Mapping[str, Any]) -> Answer:
    return Answer(body=json.dumps(body).encode())


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

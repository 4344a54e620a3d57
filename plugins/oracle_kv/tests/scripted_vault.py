"""An HTTP server that answers what a test tells it to, and keeps what it was asked."""

from __future__ import annotations

import base64
import json
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

KEY = "ocid1.key.oc1.iad.afnxza26aag4s.abzwkljsbapzb2nrha5nt3s7s7p42ctcrcj72vn3kq5qx"
VERSION = "ocid1.keyversion.oc1.iad.afnxza26aag4s.aaaajsbapzb2nrha5nt3s7s7p42ctcrcj72vn3kq5qx"
REQUEST_ID = "0F1E2D3CAAAABBBBCCCC0123456789AB"
DEK = bytes(range(32))
CIPHERTEXT = b"c" * 77


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

    path: str
    body: Mapping[str, Any]
    peer: tuple[str, int]


def refusal(code: str, *, status: int = 400, text: str = "text of the service") -> Answer:
    """Return an error in the service's form."""
    return Answer(status, json.dumps({"code": code, "message": text}).encode())


def unwrapped(**changes: object) -> Answer:
    """Return the reply to a successful Decrypt; None leaves a member out."""
    plain = {"plaintext": _text(DEK), "plaintextChecksum": str(zlib.crc32(DEK))}
    return _reply({**plain, **_NAMES, **changes})


def wrapped(**changes: object) -> Answer:
    """Return the reply to a successful Encrypt; None leaves a member out."""
    return _reply({"ciphertext": _text(CIPHERTEXT), **_NAMES, **changes})


class ScriptedVault:
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

    def __enter__(self) -> ScriptedVault:
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


def _handler_of(script: ScriptedVault) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            script.asked.append(Asked(self.path, json.loads(body), self.client_address))
            self._send(script.next_answer())

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("opc-request-id", REQUEST_ID)
            self.send_header("Content-Length", str(len(answer.body) + answer.missing_bytes))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = bool(answer.missing_bytes)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its own name
            pass

    return Handler


def _reply(body: Mapping[str, object]) -> Answer:
    given = {name: value for name, value in body.items() if value is not None}
    return Answer(body=json.dumps(given).encode())


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


_NAMES: Mapping[str, object] = {
    "keyId": KEY,
    "keyVersionId": VERSION,
    "encryptionAlgorithm": "AES_256_GCM",
}

"""A Lockbox on loopback: AES-256-GCM keys in memory, behind the HTTP API."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "a-token-for-tests"


class Lockbox:
    """Hold the keys, the count of requests, and how the service fails at the moment."""

    def __init__(self) -> None:
        self.keys = {name: AESGCM(os.urandom(32)) for name in ("one", "two")}
        self.requests = 0
        # (status, body) of the next replies; the last one stays.
        self.failures: list[tuple[int, bytes]] = []
        self.url = ""

    def answer(self, path: str, token: str, body: bytes) -> tuple[int, bytes]:
        """Return status and body of the reply to a request."""
        self.requests += 1
        if self.failures:
            return self.failures.pop(0) if len(self.failures) > 1 else self.failures[0]
        _, _, _, name, operation = path.split("/")
        if token != f"Bearer {TOKEN}":
            return 401, b'{"code": "bad_token"}'
        if name not in self.keys:
            return 404, b'{"code": "no_such_key"}'
        asked = {part: base64.b64decode(text) for part, text in json.loads(body).items()}
        key = self.keys[name]
        if operation == "wrap":
            nonce = os.urandom(12)
            done = nonce + key.encrypt(nonce, asked["plaintext"], asked["aad"])
            return 200, _reply(key=name, ciphertext=done)
        try:
            sealed = asked["ciphertext"]
            plaintext = key.decrypt(sealed[:12], sealed[12:], asked["aad"])
        except (InvalidTag, ValueError):
            return 400, b'{"code": "bad_ciphertext"}'
        return 200, _reply(key=name, plaintext=plaintext)


@contextmanager
def running() -> Iterator[Lockbox]:
    """Run the service while the context lasts."""
    lockbox = Lockbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            token = self.headers.get("Authorization", "")
            status, reply = lockbox.answer(self.path, token, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(reply)))
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        lockbox.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield lockbox
        server.shutdown()


def _reply(*, key: str, **parts: bytes) -> bytes:
    texts = {name: base64.b64encode(part).decode() for name, part in parts.items()}
    return json.dumps({"key": key, **texts}).encode()

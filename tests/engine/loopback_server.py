"""A small server of the protocol on loopback: it verifies, opens and answers for real."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ksm_storage.wire import api_errors
from ksm_storage.wire.aes import gcm_open, gcm_seal
from ksm_storage.wire.base64_forms import from_base64, to_url_safe
from ksm_storage.wire.endpoints import API_PATH
from ksm_storage.wire.keys import (
    client_id_from_token,
    ecies_open,
    load_public_point,
    new_private_key,
    public_point_of,
)
from ksm_storage.wire.signed_request import read_request, verify

Reply = tuple[int, bytes, dict[str, str]]


class LoopbackServer:
    """Hold one application; ``replies`` are given, one per request, before anything else.

    Attributes:
        asked: Path and payload of every request that was understood.
        requests: Every signed request, to compare transmission keys.
    """

    def __init__(self) -> None:
        self.app_key = os.urandom(32)
        self.token = os.urandom(32)
        self.key = new_private_key()
        self.owner = new_private_key()
        self.public_key_id = "42"
        self.clients: dict[str, bytes | None] = {client_id_from_token(self.token): None}
        self.answers: dict[str, Any] = {"get_secret": {"records": [], "folders": []}}
        self.replies: deque[Reply] = deque()
        self.files: dict[str, bytes] = {}
        self.uploads: list[bytes] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.requests: list[Any] = []
        self.name = "localhost"
        self.port = 0

    @property
    def host(self) -> str:
        return f"{self.name}:{self.port}"

    @property
    def token_text(self) -> str:
        return f"{self.host}:{to_url_safe(self.token)}"

    @property
    def server_public_key(self) -> str:
        return to_url_safe(public_point_of(self.key))

    def refuse(self, refusal: api_errors.ApiError, *, times: int = 1) -> None:
        for _ in range(times):
            self.reply(refusal.status, refusal.answer())

    def reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.replies.append((status, text, headers or {}))

    def file_url(self, name: str) -> str:
        return f"https://{self.host}/files/{name}"

    def handle_post(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if path == "/upload":
            self.uploads.append(body)
            return 204, b"", {}
        request = read_request(headers, body)
        self.requests.append(request)
        key = ecies_open(self.key, request.transmission_key)
        payload = json.loads(gcm_open(key, body))
        self.asked.append((path.removeprefix(API_PATH), payload))
        if self.replies:
            return self.replies.popleft()
        refusal = self._check(payload, request)
        if refusal is not None:
            return refusal.status, json.dumps(refusal.answer()).encode(), {}
        answer = self._answer(path.removeprefix(API_PATH), payload)
        return 200, b"" if answer is None else gcm_seal(key, json.dumps(answer).encode()), {}

    def _check(self, payload: dict[str, Any], request: Any) -> api_errors.ApiError | None:
        client = payload["clientId"]
        if client not in self.clients:
            return api_errors.CLIENT_UNKNOWN
        sent = payload.get("publicKey")
        known = self.clients[client]
        if known is None and sent:
            known = self.clients[client] = from_base64(sent)
        if known is None or (sent and from_base64(sent) != known):
            return api_errors.TOKEN_REDEEMED
        parts = {"transmission_key": request.transmission_key, "body": request.body}
        if not verify(load_public_point(known), request.signature, **parts):
            return api_errors.SIGNATURE_INVALID
        return None

    def _answer(self, path: str, payload: dict[str, Any]) -> Any:
        answer: Any = self.answers.get(path)
        if path == "get_secret" and payload.get("publicKey"):
            owner = to_url_safe(public_point_of(self.owner))
            sealed = to_url_safe(gcm_seal(self.token, self.app_key))
            return {**answer, "encryptedAppKey": sealed, "appOwnerPublicKey": owner}
        wanted = payload.get("requestedRecords")
        if path == "get_secret" and wanted:
            return _only(answer, wanted)
        return answer


def _only(answer: dict[str, Any], uids: list[str]) -> dict[str, Any]:
    folders = [
        {**folder, "records": [r for r in folder["records"] if r.get("recordUid") in uids]}
        for folder in answer.get("folders", [])
    ]
    records = [r for r in answer.get("records", []) if r.get("recordUid") in uids]
    return {**answer, "records": records, "folders": folders}


@contextmanager
def running(
    server: LoopbackServer, certificate: Path, key: Path, *, host: str = "127.0.0.1"
) -> Iterator[None]:
    """Serve on a free port of loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._send(server.handle_post(self.path, dict(self.headers), body))

        def do_GET(self) -> None:
            if server.replies:
                self._send(server.replies.popleft())
                return
            content = server.files.get(self.path.removeprefix("/files/"))
            self._send((404, b"", {}) if content is None else (200, content, {}))

        def _send(self, reply: Reply) -> None:
            status, body, headers = reply
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that hang up: some tests are about them."""

        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    http = Server((host, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    http.daemon_threads = True
    server.name = f"[{host}]" if ":" in host else "localhost"
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        http.shutdown()
        thread.join()
        http.server_close()

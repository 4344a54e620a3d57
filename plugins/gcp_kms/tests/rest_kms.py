"""The two raw operations of Cloud KMS as JSON over HTTP, handed on to the emulator's gRPC side.

Keeper's own package calls these, and only these, without the client library.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.cloud import kms_v1

_KINDS: dict[str, tuple[str, Any]] = {
    "rawEncrypt": ("raw_encrypt", kms_v1.RawEncryptRequest),
    "rawDecrypt": ("raw_decrypt", kms_v1.RawDecryptRequest),
}


@contextmanager
def running_rest(client_for: Callable[[str], Any]) -> Iterator[str]:
    """Serve on loopback; the callable returns a client for the caller's access token."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            name, _, operation = self.path.removeprefix("/v1/").rpartition(":")
            method, kind = _KINDS[operation]
            request = kind.from_json(self.rfile.read(int(self.headers["content-length"])))
            request.name = name
            token = self.headers["authorization"].removeprefix("Bearer ")
            reply = getattr(client_for(token), method)(request=request)
            body = type(reply).to_json(reply).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

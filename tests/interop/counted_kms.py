"""moto's AWS KMS on loopback behind a wire that counts the requests."""

from __future__ import annotations

import http.client
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

import boto3
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"


class CountedKms:
    """Run moto's server while the context lasts, and list the operations that it was asked for."""

    def __init__(self) -> None:
        self.operations: list[str] = []
        self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._wire = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._wire.server_port}"
        self.moto_port = 0

    def create_key(self) -> str:
        """Return the ARN of a new key; the request is not counted."""
        client = boto3.client("kms", region_name=REGION, endpoint_url=self.url)
        arn = str(client.create_key()["KeyMetadata"]["Arn"])
        self.operations.clear()
        return arn

    def __enter__(self) -> CountedKms:
        # It prints a line for each request, which is not what the tests have to say.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._moto.start()
        self.moto_port = self._moto.get_host_and_port()[1]
        threading.Thread(target=self._wire.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wire.shutdown()
        self._wire.server_close()
        self._moto.stop()


def _handler(kms: CountedKms) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            kms.operations.append(self.headers["X-Amz-Target"].partition(".")[2])
            body = self.rfile.read(int(self.headers["Content-Length"]))
            connection = http.client.HTTPConnection("127.0.0.1", kms.moto_port)
            connection.request("POST", urlsplit(self.path).path, body, dict(self.headers))
            reply = connection.getresponse()
            content = reply.read()
            connection.close()
            self.send_response(reply.status)
            for name in ("Content-Type", "x-amzn-RequestId", "x-amzn-errortype"):
                if reply.getheader(name):
                    self.send_header(name, str(reply.getheader(name)))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    return Handler

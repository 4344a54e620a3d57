"""moto's server on loopback, with a count of the requests that it received."""

from __future__ import annotations

import logging
from functools import cached_property
from types import TracebackType
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"


class MotoKms:
    """Run moto's server while the context lasts; its keys live as long."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.url = ""

    def create_key(self, **arguments: Any) -> str:
        """Return the ARN of a new key."""
        return str(self.client.create_key(**arguments)["KeyMetadata"]["Arn"])

    @cached_property
    def client(self) -> Any:
        """A KMS client of our own, for setting keys up."""
        return self.client_at(self.url)

    def client_at(self, url: str) -> Any:
        """Return such a client for a proxy in front of this service."""
        return boto3.client(
            "kms",
            region_name=REGION,
            endpoint_url=url,
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        )

    def __enter__(self) -> MotoKms:
        # It prints a line for each request, which is not what the tests have to say.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()

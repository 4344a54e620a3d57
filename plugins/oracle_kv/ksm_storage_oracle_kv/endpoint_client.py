"""What the clients of both endpoints of a vault have in common. Imports Oracle's client."""

from __future__ import annotations

from typing import Any

from oci.circuit_breaker import NoCircuitBreakerStrategy

from . import transport
from .credentials import Credentials
from .options import Connection
from .retry_limit import retries_until


def create(kind: Any, credentials: Credentials, connection: Connection, *, endpoint: str) -> Any:
    """Return a client of a class of Oracle's at an endpoint; it calls nothing yet."""
    client = kind(
        credentials.config,
        endpoint,
        signer=credentials.signer,
        timeout=(connection.connect_timeout, connection.read_timeout),
        # The default one is shared by all clients of the process: ten failures of one of them,
        # a disabled key's 409 among these, would shut every other one out.
        circuit_breaker_strategy=NoCircuitBreakerStrategy(),
    )
    transport.install(client.base_client.session, ca_file=connection.ca_file)
    return client


def retries_within(connection: Connection, ends_at: float) -> Any:
    """Return the client's own retries, which end in time for one more attempt."""
    attempt_seconds = connection.connect_timeout + connection.read_timeout
    return retries_until(ends_at, attempt_seconds=attempt_seconds)

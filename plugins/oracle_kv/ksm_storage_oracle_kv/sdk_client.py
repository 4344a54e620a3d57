"""Make Oracle's client of a crypto endpoint and send a call through it.

Importing this imports Oracle's client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oci.circuit_breaker import NoCircuitBreakerStrategy
from oci.key_management.kms_crypto_client import KmsCryptoClient
from oci.key_management.models import DecryptDataDetails, EncryptDataDetails

from . import transport
from .credentials import Credentials
from .endpoint import crypto_endpoint
from .key_names import KeyName
from .options import Connection
from .retry_limit import retries_until


def endpoint_of(name: KeyName, connection: Connection) -> str:
    """Return the vault's crypto endpoint, as the option says it or the key's OCID."""
    return connection.endpoint or crypto_endpoint(name, region=connection.region)


def create_client(credentials: Credentials, connection: Connection, *, endpoint: str) -> Any:
    """Return a client of a vault's crypto endpoint; it calls nothing yet."""
    client = KmsCryptoClient(
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


def send(
    client: Any,
    operation: str,
    details: Mapping[str, object],
    connection: Connection,
    ends_at: float,
) -> Any:
    """Send one call with the client's own retries, and return its response."""
    attempt_seconds = connection.connect_timeout + connection.read_timeout
    retries = retries_until(ends_at, attempt_seconds=attempt_seconds)
    if operation == "encrypt":
        return client.encrypt(EncryptDataDetails(**details), retry_strategy=retries)
    return client.decrypt(DecryptDataDetails(**details), retry_strategy=retries)

"""Make Oracle's client of a crypto endpoint and send a call through it.

Importing this imports Oracle's client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oci.key_management.kms_crypto_client import KmsCryptoClient
from oci.key_management.models import DecryptDataDetails, EncryptDataDetails

from . import endpoint_client
from .credentials import Credentials
from .endpoint import crypto_endpoint
from .key_names import KeyName
from .options import Connection


def endpoint_of(name: KeyName, connection: Connection) -> str:
    """Return the vault's crypto endpoint, as the option says it or the key's OCID."""
    return connection.endpoint or crypto_endpoint(name, region=connection.region)


def create_client(credentials: Credentials, connection: Connection, *, endpoint: str) -> Any:
    """Return a client of a vault's crypto endpoint; it calls nothing yet."""
    return endpoint_client.create(KmsCryptoClient, credentials, connection, endpoint=endpoint)


def send(
    client: Any,
    operation: str,
    details: Mapping[str, object],
    connection: Connection,
    ends_at: float,
) -> Any:
    """Send one call with the client's own retries, and return its response."""
    retries = endpoint_client.retries_within(connection, ends_at)
    if operation == "encrypt":
        return client.encrypt(EncryptDataDetails(**details), retry_strategy=retries)
    return client.decrypt(DecryptDataDetails(**details), retry_strategy=retries)

"""Make Oracle's client of a management endpoint, for what is asked about a key.

Importing this imports Oracle's client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oci.key_management.kms_management_client import KmsManagementClient

from . import endpoint_client
from .credentials import Credentials
from .endpoint import crypto_endpoint
from .key_names import KeyName
from .options import Connection


def endpoint_of(name: KeyName, connection: Connection) -> str:
    """Return the vault's management endpoint, which differs from its crypto endpoint by a word."""
    if connection.management_endpoint is not None:
        return connection.management_endpoint
    crypto = connection.endpoint or crypto_endpoint(name, region=connection.region)
    return crypto.replace("-crypto.kms.", "-management.kms.", 1)


def create_client(credentials: Credentials, connection: Connection, *, endpoint: str) -> Any:
    """Return a client of a vault's management endpoint; it calls nothing yet."""
    return endpoint_client.create(KmsManagementClient, credentials, connection, endpoint=endpoint)


def send(
    client: Any,
    operation: str,
    details: Mapping[str, object],
    connection: Connection,
    ends_at: float,
) -> Any:
    """Send one call with the client's own retries, and return its response."""
    retries = endpoint_client.retries_within(connection, ends_at)
    if operation == "get_key":
        return client.get_key(details["key_id"], retry_strategy=retries)
    return client.get_key_version(
        details["key_id"], details["key_version_id"], retry_strategy=retries
    )

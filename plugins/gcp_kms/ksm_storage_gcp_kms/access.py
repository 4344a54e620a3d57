"""Whom the credentials speak for, and where the key is."""

from __future__ import annotations

from collections.abc import Mapping

from .client import KmsClient
from .key_names import KeyName


def describe_access(client: KmsClient, name: KeyName) -> Mapping[str, str]:
    """Return the labels of the access; Cloud KMS is not asked.

    Raises:
        AuthenticationError: There are no usable credentials.
        ProviderError: They could not be had.
    """
    identity, connection = client.identity(), client.connection
    parts = name.key.split("/")
    labels = {
        "identity": identity,
        "credential": connection.credential,
        "project": parts[1],
        "location": parts[3],
        "endpoint": connection.endpoint,
        "quota project": connection.quota_project,
    }
    return {label: value for label, value in labels.items() if value}

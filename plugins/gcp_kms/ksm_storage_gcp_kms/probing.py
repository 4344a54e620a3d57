"""Probe the permissions on a key: Cloud KMS says which of them the caller has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ksm_storage.plugin import PermissionProbe

from .client import KmsClient
from .key_names import KeyName
from .options import ASYMMETRIC
from .permissions import DECRYPT, ENCRYPT, GET_KEY, GET_VERSION, VIEW_PUBLIC_KEY, command

if TYPE_CHECKING:
    from ksm_storage.plugin import Need


def probe_permissions(client: KmsClient, name: KeyName, purpose: str) -> Sequence[PermissionProbe]:
    """Return which permissions the caller has, asked with one call that needs none.

    Raises:
        ProviderError: Cloud KMS could not be asked.
    """
    needs: dict[str, Need] = {
        DECRYPT: "open",
        VIEW_PUBLIC_KEY if purpose == ASYMMETRIC else ENCRYPT: "seal",
        GET_KEY: "describe",
        GET_VERSION: "describe",
    }
    # A version has no policy of its own.
    reply = client.call("test_iam_permissions", {"resource": name.key, "permissions": list(needs)})
    granted, identity = set(reply.permissions), client.identity()
    return [
        PermissionProbe(permission, need, True)
        if permission in granted
        else PermissionProbe(
            permission,
            need,
            False,
            "it is not granted on the key, or there is no such key",
            command(permission, name, identity=identity),
        )
        for permission, need in needs.items()
    ]

"""Who the vault takes the caller for, as the token says, and where the vault is."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ksm_storage.plugin import KeyNotFoundError, KeyStateError, PermissionDeniedError

from .client import VaultClient
from .key_names import KeyName

_CLOUDS = {
    "azure.net": "Azure public",
    "azure.cn": "Azure operated by 21Vianet",
    "usgovcloudapi.net": "Azure Government",
}
# A user's token has the first three, in this order of preference.
_IDENTITY_CLAIMS = ("upn", "unique_name", "preferred_username", "app_displayname", "appid", "azp")


def describe_access(client: VaultClient, name: KeyName) -> Mapping[str, str]:
    """Return the labels of the access.

    Raises:
        AuthenticationError: The vault does not accept the caller's token, or there is none.
        ProviderError: The service failed.
    """
    claims = caller_claims(client, name)
    found = {
        "identity": next((claims[each] for each in _IDENTITY_CLAIMS if claims.get(each)), None),
        "application": claims.get("appid") or claims.get("azp"),
        "object id": claims.get("oid"),
        "tenant": claims.get("tid"),
        "vault": f"https://{name.host}",
        "cloud": _CLOUDS.get(name.host.partition(".")[2].partition(".")[2]),
    }
    return {label: value for label, value in found.items() if isinstance(value, str) and value}


def caller_claims(client: VaultClient, name: KeyName) -> Mapping[str, Any]:
    """Return the claims of the token that the vault accepts; none where they cannot be read.

    Raises:
        AuthenticationError: The vault does not accept the caller's token, or there is none.
        ProviderError: The service failed.
    """
    # Whom the vault refuses, it knows.
    with suppress(PermissionDeniedError, KeyNotFoundError, KeyStateError):
        client.read("get", name)
    return _claims(client.token())


def _claims(token: str | None) -> Mapping[str, Any]:
    # Only read to be shown: what it says is for the vault to believe.
    try:
        payload = (token or "").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}

"""What the server says of a key, of the token, and of what the token may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ksm_storage.plugin import (
    KeyDescription,
    KsmStorageError,
    PermissionDeniedError,
    PermissionProbe,
)

from .client import VaultClient
from .key_wrapper import TransitKey

if TYPE_CHECKING:
    from ksm_storage.plugin import KeyState, Need

_NEEDS: Sequence[tuple[str, str, Need]] = (
    ("decrypt", "update", "open"),
    ("encrypt", "update", "seal"),
    ("keys", "read", "describe"),
)


# A version is named for a key that signs, and for no other.
_SIGNING_NEEDS: Sequence[tuple[str, str, Need]] = (
    ("sign", "update", "sign"),
    ("keys", "read", "describe"),
)


def describe_key(client: VaultClient, key: TransitKey) -> KeyDescription:
    """Return the description of the key.

    Raises:
        KeyNotFoundError: The key does not exist.
        ProviderError: The server refused or failed.
    """
    data = _data(client.get(key.path("keys"), operation="read", key=str(key)))
    state, word = _state(data, signs=key.version is not None)
    newest = data.get("latest_version")
    return KeyDescription(
        key_id=str(key),
        state=state,
        state_name=word,
        algorithm=_word(data.get("type")),
        current_version=str(newest) if isinstance(newest, int) else None,
        rotation=_rotation(data.get("auto_rotate_period")),
    )


def describe_access(client: VaultClient, key: TransitKey) -> Mapping[str, str]:
    """Return labels for the server and for the token; what the token may not ask is left out.

    Raises:
        AuthenticationError: There is no usable token.
        ProviderError: The server could not be asked.
    """
    access = client.access
    labels = {
        "address": f"{access.address} (from {access.address.source})",
        "namespace": access.namespace,
        "login": access.credential,
    }
    try:
        token = _data(client.get("auth/token/lookup-self", operation="look up", key=str(key)))
    except PermissionDeniedError:
        token = {}
    policies = token.get("policies")
    labels["identity"] = _word(token.get("display_name"))
    labels["policies"] = ", ".join(map(str, policies)) if isinstance(policies, list) else None
    # A root token has no end.
    labels["seconds left"] = str(token.get("ttl") or "") or None
    labels["server version"] = _server_version(client, key)
    return {name: value for name, value in labels.items() if value}


def probe_permissions(client: VaultClient, key: TransitKey) -> Sequence[PermissionProbe]:
    """Return what the token may do with the key, as the server reads its policies.

    Raises:
        ProviderError: The server could not be asked.
    """
    needs = _NEEDS if key.version is None else _SIGNING_NEEDS
    paths = [_path(key, operation) for operation, _, _ in needs]
    reason = None
    try:
        asked = client.post(
            "sys/capabilities-self", {"paths": paths}, operation="ask", key=str(key)
        )
        capabilities = _data(asked)
    except PermissionDeniedError:
        capabilities, reason = {}, "the token may not ask: sys/capabilities-self"
    return [
        _probe(_path(key, operation), capability, need, capabilities, reason)
        for operation, capability, need in needs
    ]


def _path(key: TransitKey, operation: str) -> str:
    path = key.path(operation)
    return f"{path}/sha2-256" if operation == "sign" else path


def _probe(
    path: str, capability: str, need: Need, capabilities: Mapping[str, Any], reason: str | None
) -> PermissionProbe:
    permission = f"{capability} on {path}"
    grant = f'path "{path}" {{\n  capabilities = ["{capability}"]\n}}'
    held = capabilities.get(path)
    if not isinstance(held, list):
        return PermissionProbe(permission, need, None, reason or "the server did not say", grant)
    if capability in held or "root" in held:
        return PermissionProbe(permission, need, True)
    return PermissionProbe(permission, need, False, "no policy of the token grants it", grant)


def _server_version(client: VaultClient, key: TransitKey) -> str | None:
    try:
        # Unlike sys/health, it answers with success in each state.
        status = client.get("sys/seal-status", operation="ask", key=str(key))
    except KsmStorageError:
        return None
    return _word(status.get("version"))


def _state(data: Mapping[str, Any], *, signs: bool) -> tuple[KeyState, str | None]:
    if data.get("soft_deleted") is True:
        return "disabled", "soft-deleted"
    if signs:
        is_signer = data.get("supports_signing") is True
        return ("enabled", None) if is_signer else ("unusable", "cannot sign")
    if data.get("supports_decryption") is False:
        return "unusable", "cannot decrypt"
    if data.get("derived") is True:
        return "unusable", "derived"
    oldest = data.get("min_decryption_version")
    if isinstance(oldest, int) and oldest > 1:
        # A file that an older version wrapped does not open.
        return "enabled", f"decrypts version {oldest} and later"
    return "enabled", None


def _rotation(period: object) -> str | None:
    if not isinstance(period, int) or period <= 0:
        return None
    days, rest = divmod(period, 86400)
    return f"every {period} seconds" if rest else f"every {days} days"


def _data(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    data = reply.get("data")
    return data if isinstance(data, dict) else {}


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value.isprintable() and value else None

"""What the vault says of a key: state, versions, kind, rotation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ksm_storage.plugin import (
    KeyDescription,
    KeyNotFoundError,
    PermissionDeniedError,
    ProviderError,
    UnavailableError,
)

from . import key_names
from .client import VaultClient
from .key_names import KeyName

if TYPE_CHECKING:
    from ksm_storage.plugin import KeyState

Bundle = Mapping[str, Any]


def describe_key(client: VaultClient, name: KeyName) -> KeyDescription:
    """Return the description of a key, or of the version that is named.

    Raises:
        KeyNotFoundError: There is no such key, not even a deleted one.
        ProviderError: The service refused or failed.
    """
    try:
        bundle, version = key_bundle(client, name)
    except KeyNotFoundError:
        return _describe_deleted(client, name)
    newest = version
    if name.version is not None:
        newest = key_bundle(client, KeyName(name.host, name.name))[1]
    state, word = _state(bundle.get("attributes"))
    return KeyDescription(
        key_id=str(version if name.version is not None else name),
        state=state,
        state_name=word,
        current_version=newest.version,
        rotation=None if name.is_hsm else _rotation(client, name),
        **_kind(bundle),
    )


def key_bundle(client: VaultClient, name: KeyName) -> tuple[Bundle, KeyName]:
    """Return what the vault shows of a key, and the version that it is about.

    Raises:
        ProviderError: The service refused or failed, or showed another key.
    """
    bundle = client.read("get", name)
    kid = str(_web_key(bundle).get("kid"))
    if not key_names.covers(str(name), kid):
        raise ProviderError(
            f"the vault showed another key than {str(name)!r}",
            hint="check the option 'connect_to': a vault does not do this",
        )
    return bundle, KeyName.parse(kid)


def _web_key(bundle: Bundle) -> Bundle:
    web_key = bundle.get("key")
    if not isinstance(web_key, dict) or not isinstance(web_key.get("kid"), str):
        raise UnavailableError(
            "the reply of the vault has no usable key: it was cut off or altered on its way",
            hint="try again; if it stays, look at the proxies between here and the vault",
        )
    return web_key


def _state(attributes: object) -> tuple[KeyState, str | None]:
    if not isinstance(attributes, dict):
        return "unknown", None
    if attributes.get("enabled") is not True:
        return "disabled", "disabled"
    # Both refuse to wrap, and still unwrap.
    now = time.time()
    if isinstance(attributes.get("exp"), int) and attributes["exp"] <= now:
        return "enabled", "expired"
    if isinstance(attributes.get("nbf"), int) and attributes["nbf"] > now:
        return "enabled", "not yet valid"
    return "enabled", "enabled"


def _kind(bundle: Bundle) -> dict[str, Any]:
    web_key = _web_key(bundle)
    kty = str(web_key.get("kty") or "unknown")
    modulus = web_key.get("n")
    # Base64url without padding: three bytes in four characters.
    bits = f" {len(modulus) * 6 // 8 * 8}" if isinstance(modulus, str) else ""
    return {
        "algorithm": f"{kty}{bits}",
        "protection": "HSM" if kty.endswith("-HSM") else "SOFTWARE",
        "public": kty.startswith("RSA"),
    }


def _rotation(client: VaultClient, name: KeyName) -> str | None:
    try:
        policy = client.read("getrotationpolicy", name, path=f"/keys/{name.name}/rotationpolicy")
    except (PermissionDeniedError, KeyNotFoundError):
        return None
    for action in policy.get("lifetimeActions") or ():
        if str(action.get("action", {}).get("type")).lower() != "rotate":
            continue
        trigger = action.get("trigger", {})
        for word, when in (("timeAfterCreate", "after"), ("timeBeforeExpiry", "before expiry of")):
            if isinstance(trigger.get(word), str):
                return f"{trigger[word]} {when} each version"
    return None


def _describe_deleted(client: VaultClient, name: KeyName) -> KeyDescription:
    bundle = client.read("get", name, path=f"/deletedkeys/{name.name}")
    purge = bundle.get("scheduledPurgeDate")
    return KeyDescription(
        key_id=str(name),
        state="pending-deletion",
        state_name="deleted",
        deletion=datetime.fromtimestamp(purge, UTC) if isinstance(purge, int) else None,
        **_kind(bundle),
    )

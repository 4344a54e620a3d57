"""What is done to keys themselves: create, rotate, get, update, delete, recover, purge."""

from __future__ import annotations

from typing import Any

from ksm_storage_emulators.azure_key_vault.errors import bad_parameter
from ksm_storage_emulators.azure_key_vault.key_request import KeyRequest
from ksm_storage_emulators.azure_key_vault.keys import RETENTION_SECONDS, KeyVersion, VaultKey

Result = dict[str, Any] | None


def create(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/create-key/create-key ."""
    kty = request.text("kty")
    # A managed HSM protects every key in the HSM, whichever of the two is asked for.
    kty = "RSA-HSM" if request.vault.is_hsm and kty == "RSA" else kty
    if kty == "oct-HSM" and not request.vault.is_hsm:
        raise bad_parameter("oct-HSM keys are for managed HSMs.")
    if kty in ("EC", "EC-HSM") and request.arguments.get("crv", "P-256") != "P-256":
        raise bad_parameter("Property has invalid value: crv; this emulator has P-256 only.")
    size = request.arguments.get("key_size", 2048 if kty.startswith("RSA") else 256)
    operations = request.arguments.get("key_ops")
    version = request.store.create_key(
        request.vault,
        request.name,
        kty=kty,
        size=size,
        operations=None if operations is None else tuple(operations),
    )
    _set_attributes(version, request)
    return version.bundle()


def rotate(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/rotate-key/rotate-key ."""
    key = request.store.key(request.vault, request.name)
    newest = key.newest
    return request.store.create_key(
        request.vault, key.name, kty=newest.kty, size=key.size, operations=newest.operations
    ).bundle()


def get_rotation_policy(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/get-key-rotation-policy/ ."""
    return _rotation_policy(request.store.key(request.vault, request.name), request)


def update_rotation_policy(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/update-key-rotation-policy/ ."""
    actions = request.arguments.get("lifetimeActions")
    if not isinstance(actions, list):
        raise bad_parameter("Property has invalid value: lifetimeActions.")
    key = request.store.key(request.vault, request.name)
    key.rotation_policy = {
        "lifetimeActions": actions,
        "attributes": request.arguments.get("attributes", {}),
    }
    return _rotation_policy(key, request)


def get(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/get-key/get-key ."""
    return request.store.version(request.vault, request.name, request.version).bundle()


def update(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/update-key/update-key ."""
    version = request.store.version(request.vault, request.name, request.version)
    if "key_ops" in request.arguments:
        version.operations = tuple(request.arguments["key_ops"])
    _set_attributes(version, request)
    return version.bundle()


def delete(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/delete-key/delete-key ."""
    key = request.store.key(request.vault, request.name)
    key.deleted_at = request.now
    return _deleted(request, key)


def get_deleted(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/get-deleted-key/get-deleted-key ."""
    return _deleted(request, request.store.deleted_key(request.vault, request.name))


def recover(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/recover-deleted-key/ ."""
    key = request.store.deleted_key(request.vault, request.name)
    key.deleted_at = None
    return key.newest.bundle()


def purge(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/purge-deleted-key/ ."""
    key = request.store.deleted_key(request.vault, request.name)
    del request.vault.keys[key.name.lower()]
    return None


def _set_attributes(version: KeyVersion, request: KeyRequest) -> None:
    attributes = request.arguments.get("attributes", {})
    version.enabled = attributes.get("enabled", version.enabled)
    version.not_before = attributes.get("nbf", version.not_before)
    version.expires = attributes.get("exp", version.expires)


def _rotation_policy(key: VaultKey, request: KeyRequest) -> dict[str, Any]:
    return {
        "id": f"https://{request.vault.host}/keys/{key.name}/rotationpolicy",
        **key.rotation_policy,
    }


def _deleted(request: KeyRequest, key: VaultKey) -> dict[str, Any]:
    deleted_at = int(key.deleted_at or request.now)
    return {
        **key.newest.bundle(),
        "recoveryId": f"https://{request.vault.host}/deletedkeys/{key.name}",
        "deletedDate": deleted_at,
        "scheduledPurgeDate": deleted_at + RETENTION_SECONDS,
    }

"""Vaults and managed HSMs: their keys, and who may do what with them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from ksm_storage_emulators.azure_key_vault.errors import VaultError
from ksm_storage_emulators.azure_key_vault.keys import (
    RETENTION_SECONDS,
    KeyVersion,
    VaultKey,
    new_version,
)
from ksm_storage_emulators.clock import MovableClock

EVERYTHING = "*"
# Permission of an access policy -> last parts of the data action of a role.
ACTIONS = {
    "get": "keys/read",
    "wrapKey": "keys/wrap/action",
    "unwrapKey": "keys/unwrap/action",
    "encrypt": "keys/encrypt/action",
    "decrypt": "keys/decrypt/action",
    "sign": "keys/sign/action",
    "create": "keys/create/action",
    "update": "keys/update/action",
    "delete": "keys/delete",
    "recover": "keys/recover/action",
    "purge": "keys/purge/action",
    "rotate": "keys/rotate/action",
    "getrotationpolicy": "keyrotationpolicies/read",
    "setrotationpolicy": "keyrotationpolicies/write",
}


@dataclass(slots=True)
class Vault:
    """One vault or managed HSM. `authorization` is "policy" or "rbac"; an HSM has roles only."""

    host: str
    is_hsm: bool = False
    authorization: str = "rbac"
    closed_by_firewall: bool = False
    grants: dict[str, frozenset[str]] = field(default_factory=dict)
    keys: dict[str, VaultKey] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        """The resource that tokens must be for."""
        return "https://managedhsm.azure.net" if self.is_hsm else "https://vault.azure.net"

    def grant(self, object_id: str, permissions: Iterable[str]) -> None:
        """Let a principal do this and nothing else; `*` is everything."""
        self.grants[object_id] = frozenset(permissions)

    def authorize(self, object_id: str, permission: str) -> None:
        """Raise Forbidden unless the principal has the permission."""
        if self.closed_by_firewall:
            text = "Client address is not authorized and caller is not a trusted service."
            raise VaultError("Forbidden", text, inner="ForbiddenByFirewall")
        granted = self.grants.get(object_id, frozenset())
        if granted & {permission, EVERYTHING}:
            return
        if self.is_hsm:
            text = f"User or application oid={object_id} is not authorized: {permission}"
            raise VaultError("Forbidden", text)
        if self.authorization == "policy":
            text = f"The application oid={object_id} does not have keys {permission} permission."
            raise VaultError("Forbidden", text, inner="ForbiddenByPolicy")
        action = f"Microsoft.KeyVault/vaults/{ACTIONS[permission]}"
        text = f"Caller is not authorized to perform action on resource. Action: '{action}'"
        raise VaultError("Forbidden", text, inner="ForbiddenByRbac")


class VaultStore:
    """All vaults, by host. Hold the lock around what reads and changes them."""

    def __init__(self, clock: MovableClock) -> None:
        """Start without vaults."""
        self.lock = threading.RLock()
        self._clock = clock
        self._vaults: dict[str, Vault] = {}

    def add(self, vault: Vault) -> Vault:
        """Add a vault."""
        with self.lock:
            self._vaults[vault.host] = vault
        return vault

    def of_host(self, host: str) -> Vault | None:
        """Return the vault that a Host header names, or None."""
        with self.lock:
            return self._vaults.get(host.lower().partition(":")[0])

    def create_key(
        self,
        vault: Vault,
        name: str,
        *,
        kty: str,
        size: int,
        operations: tuple[str, ...] | None = None,
    ) -> KeyVersion:
        """Create a key, or a new version of a key of that name."""
        with self.lock:
            self.purge_due(vault)
            key = vault.keys.get(name.lower())
            if key is not None and key.deleted_at is not None:
                text = f"Key {name} is currently in a deleted but recoverable state."
                raise VaultError("Conflict", text, inner="ObjectIsDeletedButRecoverable")
            base = f"https://{vault.host}/keys/{key.name if key else name}"
            now = self._clock.now()
            version = new_version(base, kty=kty, size=size, now=now, operations=operations)
            if key is None:
                vault.keys[name.lower()] = VaultKey(name, [version], size)
            else:
                key.versions.append(version)
            return version

    def key(self, vault: Vault, name: str) -> VaultKey:
        """Return a key that is not deleted, or raise KeyNotFound."""
        self.purge_due(vault)
        key = vault.keys.get(name.lower())
        if key is None or key.deleted_at is not None:
            raise _not_found(name)
        return key

    def deleted_key(self, vault: Vault, name: str) -> VaultKey:
        """Return a key that is deleted and can be recovered, or raise KeyNotFound."""
        self.purge_due(vault)
        key = vault.keys.get(name.lower())
        if key is None or key.deleted_at is None:
            raise VaultError("KeyNotFound", f"Deleted Key not found: {name}")
        return key

    def version(self, vault: Vault, name: str, version: str) -> KeyVersion:
        """Return a version, the newest for an empty one, or raise KeyNotFound."""
        key = self.key(vault, name)
        if not version:
            return key.newest
        for each in key.versions:
            if each.version == version:
                return each
        raise _not_found(f"{name}/{version}")

    def purge_due(self, vault: Vault) -> None:
        """Forget keys whose time for recovery is over."""
        end = self._clock.now() - RETENTION_SECONDS
        due = [n for n, k in vault.keys.items() if k.deleted_at is not None and k.deleted_at <= end]
        for name in due:
            del vault.keys[name]


def _not_found(name: str) -> VaultError:
    text = f"A key with (name/id) {name} was not found in this key vault."
    return VaultError("KeyNotFound", text)

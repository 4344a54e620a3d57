"""The strict emulator of Key Vault, with what a test does to it besides calling the plugin."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ksm_storage_emulators.azure_key_vault.directory import Application
from ksm_storage_emulators.azure_key_vault.keys import KeyVersion, VaultKey
from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService
from ksm_storage_emulators.azure_key_vault.vaults import EVERYTHING, Vault
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind

KEY_OPERATIONS = ("wrapKey", "unwrapKey", "encrypt", "decrypt", "get", "create", "update")

_numbers = itertools.count(1)
_WIRE_FAULTS = {
    "throttled": FaultKind.THROTTLE,
    "failing": FaultKind.ERROR,
    "dropped": FaultKind.DROP,
    "cut off": FaultKind.TRUNCATE,
    "another key": FaultKind.WRONG_KEY_ID,
    "over-long": FaultKind.OVER_LONG_KEY,
}


class EmulatedVault:
    """Hold a running emulator; vaults and keys last as long as it does."""

    def __init__(self, emulator: Emulator[AzureKeyVaultService], ca_file: Path) -> None:
        self.emulator = emulator
        self.service = emulator.service
        self.url = emulator.url
        self.ca_file = ca_file

    @property
    def settings(self) -> Mapping[str, object]:
        """The settings under which the administrator reaches every vault."""
        return self.settings_of(self.service.administrator)

    def settings_of(self, application: Application) -> Mapping[str, object]:
        """Return the settings of an application with its secret."""
        return {
            **self.wire_settings,
            "credential": "client-secret",
            "tenant_id": self.service.directory.tenant_id,
            "client_id": application.principal.client_id,
            "client_secret": application.secret,
            "authority_host": self.url,
        }

    @property
    def wire_settings(self) -> Mapping[str, object]:
        """The settings that lead to the emulator, without credentials."""
        return {
            "connect_to": f"127.0.0.1:{self.emulator.address.port}",
            "ca_file": str(self.ca_file),
        }

    def new_vault(self, *, authorization: str = "rbac") -> Vault:
        """Return a vault that no test has called yet: the client remembers challenges by host."""
        return self.service.add_vault(f"v{next(_numbers)}", authorization=authorization)

    def new_hsm(self) -> Vault:
        """Return a managed HSM that no test has called yet."""
        return self.service.add_managed_hsm(f"h{next(_numbers)}")

    def new_key(self, vault: Vault | None = None, *, name: str | None = None) -> KeyVersion:
        """Return a key of the kind that the vault is for."""
        vault = vault or self.service.demo
        kty = "oct-HSM" if vault.is_hsm else "RSA"
        return self.service.create_key(name or f"k{next(_numbers)}", vault=vault, kty=kty)

    @cache  # noqa: B019  # an emulator lives as long as the session
    def shared_vault(self) -> Vault:
        """Return the one vault that many tests use."""
        return self.new_vault()

    @cache  # noqa: B019
    def shared_hsm(self) -> Vault:
        """Return the one managed HSM that many tests use."""
        return self.new_hsm()

    def shared_key(self, vault: Vault, name: str) -> KeyVersion:
        """Return the one key of the name, made at first use."""
        key = vault.keys.get(name)
        return key.newest if key is not None else self.new_key(vault, name=name)

    def key_operations(self) -> int:
        """Return how many key operations came since the last reset."""
        calls = self.emulator.transcript.calls()
        return sum(calls.get(operation, 0) for operation in KEY_OPERATIONS)

    @contextmanager
    def provoked(self, fault: str, version: KeyVersion, vault: Vault) -> Iterator[None]:
        """Let the service fail for one key, or for everybody, while the context lasts."""
        administrator = self.service.administrator.principal.object_id
        key: VaultKey = self.service.store.key(vault, version.kid.split("/")[4])
        if fault == "disabled":
            version.enabled = False
        elif fault == "deleted":
            key.deleted_at = self.service.clock.now()
        elif fault == "denied":
            vault.grant(administrator, ["get"])
        elif fault == "firewall":
            vault.closed_by_firewall = True
        else:
            self.emulator.faults.add(_WIRE_FAULTS[fault])
        yield
        version.enabled, key.deleted_at, vault.closed_by_firewall = True, None, False
        vault.grant(administrator, [EVERYTHING])
        self.emulator.faults.clear()


@contextmanager
def running_emulator(folder: Path) -> Iterator[EmulatedVault]:
    """Run an emulator over HTTPS with a CA of its own."""
    ca_file = folder / "ca.pem"
    service = AzureKeyVaultService()
    with Emulator(service, authority=PrivateAuthority(), ca_file=ca_file) as emulator:
        yield EmulatedVault(emulator, ca_file)

"""The plugin keeps its contract with the core, with the service's client over a real wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from ksm_storage_emulators.azure_key_vault.keys import KeyVersion
from ksm_storage_emulators.azure_key_vault.vaults import Vault

from ksm_storage import errors
from ksm_storage.testing.conformance import Fault, KeyWrapperConformance

from .emulated_vault import EmulatedVault

FAULTS = {
    "disabled": Fault(errors.KeyStateError),
    "deleted": Fault(errors.KeyNotFoundError),
    "denied": Fault(errors.PermissionDeniedError),
    "firewall": Fault(errors.PermissionDeniedError),
    "throttled": Fault(errors.ThrottledError),
    "failing": Fault(errors.UnavailableError),
    "dropped": Fault(errors.UnavailableError),
    "cut off": Fault(errors.UnavailableError),
    "unknown caller": Fault(
        errors.AuthenticationError,
        settings={"client_id": "00000000-0000-0000-0000-000000000000"},
    ),
    "wrong secret": Fault(errors.AuthenticationError, settings={"client_secret": "wrong"}),
    "unreachable": Fault(errors.UnavailableError, settings={"connect_to": "127.0.0.1:1"}),
}


class VaultConformance(KeyWrapperConformance):
    """What a vault and a managed HSM have in common."""

    provider = "azure-kv"
    documentation = Path(__file__).parents[3] / "docs" / "plugins" / "azure-kv.md"
    sdk_modules = ("azure", "msal", "requests", "urllib3")
    faults = FAULTS

    # One vault for all tests of the class: making an RSA key costs more than a test.
    @pytest.fixture
    def vault(self, emulator: EmulatedVault) -> Vault:
        return emulator.shared_vault()

    @pytest.fixture
    def version(self, emulator: EmulatedVault, vault: Vault) -> KeyVersion:
        return emulator.shared_key(vault, "one")

    @pytest.fixture
    def key_id(self, version: KeyVersion) -> str:
        return version.kid

    @pytest.fixture
    def other_key_id(self, emulator: EmulatedVault, vault: Vault) -> str:
        return emulator.shared_key(vault, "two").kid

    @pytest.fixture
    def alias(self, version: KeyVersion) -> str:
        # The newest version is what a name without version stands for.
        return version.kid.rpartition("/")[0]

    @pytest.fixture
    def settings(self, emulator: EmulatedVault) -> Mapping[str, object]:
        # Short, for what is retried is retried until then.
        return {**emulator.settings, "deadline": 1.0}

    @pytest.fixture
    def service_url(self, settings: Mapping[str, object]) -> str:
        return f"https://{settings['connect_to']}"

    @pytest.fixture
    def reach(self, settings: Mapping[str, object]) -> Callable[[str], Mapping[str, object]]:
        return lambda url: {**settings, "connect_to": urlsplit(url).netloc}

    @pytest.fixture
    def count_calls(self, emulator: EmulatedVault) -> Callable[[], int]:
        return emulator.key_operations

    @pytest.fixture
    def provoke(
        self, emulator: EmulatedVault, version: KeyVersion, vault: Vault
    ) -> Callable[[str], AbstractContextManager[None]]:
        def provoked(fault: str) -> AbstractContextManager[None]:
            # A fault that lies in the settings is there already.
            if self.faults[fault].settings:
                return nullcontext()
            return emulator.provoked(fault, version=version, vault=vault)

        return provoked


class TestVault(VaultConformance):
    """An RSA key in a vault."""

    native_names: ClassVar[Mapping[str, str]] = {
        f"{scheme}myvault.{suffix}/keys/app{version}": f"https://myvault.{suffix}/keys/app{version}"
        for scheme in ("https://", "HTTPS://")
        for suffix in ("vault.azure.net", "managedhsm.azure.net", "vault.azure.cn")
        for version in ("", "/0123456789abcdef0123456789abcdef")
    }


class TestManagedHsm(VaultConformance):
    """An AES key in a managed HSM."""

    @pytest.fixture
    def vault(self, emulator: EmulatedVault) -> Vault:
        return emulator.shared_hsm()

"""The pytest fixture `azure_key_vault`. The service is imported when a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService
    from ksm_storage_emulators.certificates import PrivateAuthority
    from ksm_storage_emulators.emulator import Emulator
    from ksm_storage_emulators.pytest_plugin import EmulatorStarter


@pytest.fixture
def azure_key_vault(
    start_emulator: EmulatorStarter, emulator_authority: PrivateAuthority, tmp_path: Path
) -> Emulator[AzureKeyVaultService]:
    """A running Key Vault over HTTPS with an empty vault `demo.vault.azure.net`."""
    from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService

    ca_file = tmp_path / "azure-key-vault-ca.pem"
    return start_emulator(AzureKeyVaultService(), authority=emulator_authority, ca_file=ca_file)

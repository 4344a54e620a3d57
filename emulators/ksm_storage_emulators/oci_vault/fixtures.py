"""The pytest fixture `oci_vault`. The service is imported when a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ksm_storage_emulators.emulator import Emulator
    from ksm_storage_emulators.oci_vault.service import OciVaultService
    from ksm_storage_emulators.pytest_plugin import EmulatorStarter


@pytest.fixture
def oci_vault(start_emulator: EmulatorStarter) -> Emulator[OciVaultService]:
    """A running OCI Vault without keys: `oci_vault.url`, `oci_vault.service.create_key()`."""
    from ksm_storage_emulators.oci_vault.service import OciVaultService

    return start_emulator(OciVaultService())

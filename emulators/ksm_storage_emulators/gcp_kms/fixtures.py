"""The pytest fixture `gcp_kms`. The service is imported when a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ksm_storage_emulators.emulator import Emulator
    from ksm_storage_emulators.gcp_kms.service import GcpKmsService
    from ksm_storage_emulators.pytest_plugin import EmulatorStarter


@pytest.fixture
def gcp_kms(start_emulator: EmulatorStarter) -> Emulator[GcpKmsService]:
    """A running Cloud KMS without keys: `gcp_kms.service.grpc_address`, `.create_key("k")`."""
    from ksm_storage_emulators.gcp_kms.service import GcpKmsService

    return start_emulator(GcpKmsService())

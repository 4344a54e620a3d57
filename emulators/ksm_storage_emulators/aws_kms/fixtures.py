"""The pytest fixture `aws_kms`. The service is imported when a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ksm_storage_emulators.aws_kms.service import AwsKmsService
    from ksm_storage_emulators.emulator import Emulator
    from ksm_storage_emulators.pytest_plugin import EmulatorStarter


@pytest.fixture
def aws_kms(start_emulator: EmulatorStarter) -> Emulator[AwsKmsService]:
    """A running AWS KMS without keys: `aws_kms.url`, `aws_kms.service.create_key()`."""
    from ksm_storage_emulators.aws_kms.service import AwsKmsService

    return start_emulator(AwsKmsService())

"""The fixtures that these tests share with the ones of the storage, and a key service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ksm_storage_emulators.aws_kms.service import AwsKmsService
from ksm_storage_emulators.emulator import Emulator

from tests.faults.conftest import folder
from tests.unit.storage.fixtures import key, new_key, sealed
from tests.unit.storage.planted import counted

__all__ = ["counted", "folder", "key", "sealed"]


@pytest.fixture
def second_key(key: str, tmp_path: Path) -> str:
    """Name another key file beside the first one."""
    return new_key(tmp_path / "keys/second.key")


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator[AwsKmsService]]:
    """Run an AWS KMS that counts what it is asked for, and name it and its caller to all."""
    pytest.importorskip("ksm_storage_aws_kms")
    with Emulator(AwsKmsService()) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KSM_STORAGE_AWS_KMS_ENDPOINT", emulator.url)
        yield emulator

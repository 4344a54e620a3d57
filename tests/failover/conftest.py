"""A file under a key in AWS KMS and one of another service; AWS KMS accepts and never answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from ksm_storage_emulators.aws_kms.service import AwsKmsService
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind

import ksm_storage
from tests.unit.storage.fixtures import CONFIG, folder, key
from tests.unit.storage.planted import counted

__all__ = ["counted", "folder", "key"]


class TwoServices(NamedTuple):
    """Hold a file, the key that hangs, the key that answers, and the emulator of the first."""

    path: Path
    silent: str
    answering: str
    emulator: Emulator[AwsKmsService]

    def calls(self) -> int:
        """Return how many requests the first service has received."""
        return sum(self.emulator.transcript.calls().values())


@pytest.fixture
def running() -> Iterator[Emulator[AwsKmsService]]:
    """Run one emulator for each test: a call that hung in another one is not counted here."""
    pytest.importorskip("ksm_storage_aws_kms")
    with Emulator(AwsKmsService()) as emulator:
        yield emulator
    # A call that has only begun would find the environment of the next test, and AWS itself.
    for thread in threading.enumerate():
        if thread.name == "ksm-storage-unwrap":
            thread.join()


@pytest.fixture
def two(
    running: Emulator[AwsKmsService],
    folder: Path,
    counted: object,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[TwoServices]:
    """Seal a file under both keys, then let the first service hang."""
    administrator = running.service.administrator
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", administrator.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", administrator.secret_access_key)
    monkeypatch.setenv("KSM_STORAGE_AWS_KMS_ENDPOINT", running.url)
    silent = f"aws-kms://{running.service.create_key().arn}"
    storage = ksm_storage.open_storage(folder / "c", keys=[silent, "counted://one"])
    storage.save_storage(CONFIG)
    running.reset()
    running.faults.add(FaultKind.HANG)
    yield TwoServices(folder / "c", silent, "counted://one", running)
    running.faults.clear()

"""Threads that open one file at once make one call to its key service between them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ksm_storage_emulators.aws_kms.keys import KmsKey
from ksm_storage_emulators.aws_kms.service import AwsKmsService
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind

import ksm_storage
from ksm_storage.errors import DecryptionError, KeyStateError
from tests.unit.storage.fixtures import CONFIG, write_plain
from tests.unit.storage.test_threads_and_forks import at_once

THREADS = 64
# All of them have asked long before the first one is answered.
LATENCY_SECONDS = 1.5


@pytest.fixture
def kms_key(kms: Emulator[AwsKmsService]) -> KmsKey:
    """Make a key in the service."""
    return kms.service.create_key()


@pytest.fixture
def path(folder: Path, kms: Emulator[AwsKmsService], kms_key: KmsKey) -> Path:
    """Seal the configuration under a key of a slow service, and forget the calls so far."""
    path = write_plain(folder / "config")
    ksm_storage.protect(path, keys=[f"aws-kms://{kms_key.arn}"])
    kms.transcript.reset()
    kms.faults.add(FaultKind.LATENCY, operation="Decrypt", seconds=LATENCY_SECONDS)
    return path


def test_64_threads_make_one_unwrap(path: Path, kms: Emulator[AwsKmsService]) -> None:
    def work(number: int) -> str | None:
        storage = ksm_storage.open_storage(path)
        storage.set(f"field{number}", "x")
        return storage.get("hostname")

    assert at_once(work, threads=THREADS) == [CONFIG["hostname"]] * THREADS

    assert kms.transcript.calls() == {"Decrypt": 1}
    assert len(ksm_storage.open_storage(path).read_storage()) == len(CONFIG) + THREADS


def test_a_refusal_is_asked_for_once_and_each_thread_is_told(
    path: Path, kms: Emulator[AwsKmsService], kms_key: KmsKey
) -> None:
    kms_key.state = "Disabled"

    def work(_: int) -> str:
        with pytest.raises(KeyStateError) as caught:
            ksm_storage.open_storage(path)
        return caught.value.message

    assert len(set(at_once(work, threads=THREADS))) == 1

    # The direct call, and that of the AWS client, which reports.
    assert kms.transcript.calls() == {"Decrypt": 2}


def test_those_who_trust_other_keys_or_expect_another_context_are_not_let_in(
    path: Path, kms: Emulator[AwsKmsService]
) -> None:
    trusted = f"aws-kms://{kms.service.create_key().arn}"

    def work(number: int) -> str:
        try:
            if number % 3 == 0:
                ksm_storage.open_storage(path)
            elif number % 3 == 1:
                ksm_storage.open_storage(path, keys=[trusted])
            else:
                ksm_storage.open_storage(path, context={"env": "prod"})
        except DecryptionError as exc:
            return exc.message[:30]
        return "opened"

    results = at_once(work, threads=12)

    assert results[::3] == ["opened"] * 4
    assert set(results[1::3]) == {"none of the trusted keys is a "}
    assert set(results[2::3]) == {"the envelope has the context ("}

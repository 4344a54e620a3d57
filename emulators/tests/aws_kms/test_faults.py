"""Every fault, as boto3 sees it."""

from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.loaders import Loader

from ksm_storage_emulators.aws_kms.service import AwsKmsService
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.pytest_plugin import EmulatorStarter

from .conftest import AwsKms, Clients
from .refusal import refused


@pytest.fixture
def blob(kms: Any, key_id: str) -> bytes:
    value: bytes = kms.encrypt(KeyId=key_id, Plaintext=b"k" * 32)["CiphertextBlob"]
    return value


def test_throttling_is_the_documented_error_with_advice(
    aws_kms: AwsKms, kms: Any, blob: bytes
) -> None:
    aws_kms.faults.add(FaultKind.THROTTLE, operation="Decrypt", times=1, retry_after_seconds=2)

    with refused("ThrottlingException") as error:
        kms.decrypt(CiphertextBlob=blob)
    assert error["status"] == 400
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"k" * 32


def test_the_client_retries_what_is_throttled(
    aws_kms: AwsKms, clients: Clients, blob: bytes
) -> None:
    kms = clients.make(config=Config(retries={"mode": "standard", "total_max_attempts": 2}))
    aws_kms.faults.add(FaultKind.THROTTLE, operation="Decrypt", times=1)

    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"k" * 32
    assert aws_kms.transcript.count("Decrypt") == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "KMSInternalException"), (503, "ServiceUnavailable"), (502, "InternalFailure")],
)
def test_a_server_error_has_its_code(aws_kms: AwsKms, kms: Any, status: int, code: str) -> None:
    aws_kms.faults.add(FaultKind.ERROR, status=status)

    with refused(code) as error:
        kms.list_aliases()
    assert error["status"] == status


def test_a_quota_is_throttling(aws_kms: AwsKms, kms: Any) -> None:
    aws_kms.clock.freeze()
    aws_kms.quotas.limit(1, operation="ListAliases")
    kms.list_aliases()

    with refused("ThrottlingException"):
        kms.list_aliases()
    aws_kms.clock.advance(1)
    kms.list_aliases()


def test_a_dropped_connection_is_a_connection_error(aws_kms: AwsKms, kms: Any) -> None:
    aws_kms.faults.add(FaultKind.DROP, times=1)

    with pytest.raises(ConnectionClosedError):
        kms.list_aliases()


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.LATENCY])
def test_an_answer_that_is_late_is_a_time_out(
    aws_kms: AwsKms, clients: Clients, kind: FaultKind
) -> None:
    kms = clients.make(config=Config(read_timeout=0.2, retries={"total_max_attempts": 1}))
    aws_kms.faults.add(kind, times=1, seconds=1 if kind is FaultKind.LATENCY else 0)

    with pytest.raises(ReadTimeoutError):
        kms.list_aliases()


def test_a_truncated_body_reaches_no_caller(aws_kms: AwsKms, kms: Any, blob: bytes) -> None:
    aws_kms.faults.add(FaultKind.TRUNCATE, operation="Decrypt", times=1)

    # Which exception depends on the version of botocore; that there is no plaintext does not.
    with pytest.raises(Exception):  # noqa: B017, PT011
        kms.decrypt(CiphertextBlob=blob)["Plaintext"]


def test_a_wrong_key_id_is_another_well_formed_arn(
    aws_kms: AwsKms, kms: Any, blob: bytes, key_id: str
) -> None:
    aws_kms.faults.add(FaultKind.WRONG_KEY_ID, operation="Decrypt", times=1)

    named = kms.decrypt(CiphertextBlob=blob, KeyId=key_id)["KeyId"]

    assert named != key_id
    assert named.startswith("arn:aws:kms:us-east-1:111122223333:key/")
    assert kms.decrypt(CiphertextBlob=blob, KeyId=key_id)["KeyId"] == key_id


def test_an_over_long_key_has_one_byte_too_many(aws_kms: AwsKms, kms: Any, blob: bytes) -> None:
    aws_kms.faults.add(FaultKind.OVER_LONG_KEY, times=1)

    assert len(kms.decrypt(CiphertextBlob=blob)["Plaintext"]) == 33
    assert len(kms.decrypt(CiphertextBlob=blob)["Plaintext"]) == 32


def test_https_with_the_private_authority(
    start_emulator: EmulatorStarter,
    emulator_authority: PrivateAuthority,
    loader: Loader,
    tmp_path: Path,
) -> None:
    ca_file = tmp_path / "ca.pem"
    emulator = start_emulator(AwsKmsService(), authority=emulator_authority, ca_file=ca_file)

    kms = Clients(emulator, loader).make(verify=str(ca_file))

    assert kms.list_aliases()["Aliases"] == []
    assert emulator.environment()["AWS_CA_BUNDLE"] == str(ca_file)

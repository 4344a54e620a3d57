"""How often AWS KMS is called, counted on the wire, and the official AWS class on our file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from keeper_secrets_manager_hsm.storage_aws_kms import (
    AwsKmsKeyValueStorage,
)

import ksm_storage
from tests.interop.counted_kms import REGION, CountedKms
from tests.interop.keeper_server import KeeperServer
from tests.interop.test_official_sdk import bind
from tests.unit.storage.fixtures import names_in


@pytest.fixture(scope="module")
def server() -> Iterator[CountedKms]:
    """Run one server for all tests of this module."""
    with CountedKms() as server:
        yield server


@pytest.fixture
def kms(server: CountedKms, monkeypatch: pytest.MonkeyPatch) -> CountedKms:
    """Make the server the KMS of this process."""
    pytest.importorskip("ksm_storage_aws_kms")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", server.url)
    monkeypatch.setenv("KSM_STORAGE_AWS_KMS_ENDPOINT", server.url)
    boto3.setup_default_session()
    server.operations.clear()
    return server


@pytest.fixture
def aws_key(kms: CountedKms) -> str:
    """Name a new key of the server."""
    return f"aws-kms://{kms.create_key()}"


def test_creating_a_file_is_one_wrap_and_its_proof(
    folder: Path, kms: CountedKms, aws_key: str
) -> None:
    ksm_storage.open_storage(folder / "config", keys=[aws_key]).set("hostname", "h")

    assert kms.operations == ["Encrypt", "Decrypt"]


def test_opening_a_file_is_one_call_and_everything_after_it_none(
    folder: Path, kms: CountedKms, aws_key: str
) -> None:
    ksm_storage.open_storage(folder / "config", keys=[aws_key]).set("hostname", "h")
    kms.operations.clear()

    storage = ksm_storage.open_storage(folder / "config")
    for number in range(100):
        storage.set(f"field{number}", "x")
    for number in range(100):
        storage.get(f"field{number}")
    for number in range(10):
        storage.delete(f"field{number}")

    assert kms.operations == ["Decrypt"]
    assert len(storage.read_storage()) == 91


def test_the_first_bind_of_the_sdk_costs_no_call_but_those_that_create_the_file(
    folder: Path, kms: CountedKms, aws_key: str, keeper: KeeperServer
) -> None:
    storage = ksm_storage.open_storage(folder / "config", keys=[aws_key])

    bind(storage, keeper).get_secrets()

    assert kms.operations == ["Encrypt", "Decrypt"]


def test_the_official_aws_class_refuses_our_file_and_leaves_it(
    folder: Path, kms: CountedKms, aws_key: str
) -> None:
    path = folder / "config"
    ksm_storage.open_storage(path, keys=[aws_key]).set("hostname", "h")
    before = path.read_bytes()
    key_id = aws_key.rpartition("/")[2]

    with pytest.raises(Exception, match=r"InvalidCiphertext|Decrypt|not a valid encrypted"):
        AwsKmsKeyValueStorage(key_id, str(path))

    assert path.read_bytes() == before
    assert names_in(folder) == ["config"]

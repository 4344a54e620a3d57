"""The same attacks on the official AWS storage, unchanged: what it takes and ours refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from keeper_secrets_manager_hsm.storage_aws_kms import AwsKmsKeyValueStorage

import ksm_storage
from ksm_storage.errors import DecryptionError, RollbackError
from tests.interop.counted_kms import REGION, CountedKms
from tests.unit.storage.fixtures import CONFIG, write_plain


@pytest.fixture
def aws_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name a new key of a server that is the KMS of this process."""
    pytest.importorskip("ksm_storage_aws_kms")
    with CountedKms() as server:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", server.url)
        monkeypatch.setenv("KSM_STORAGE_AWS_KMS_ENDPOINT", server.url)
        boto3.setup_default_session()
        yield server.create_key()


def official(path: Path, key: str, hostname: str) -> Path:
    """Let the official package seal a configuration."""
    write_plain(path, {**CONFIG, "hostname": hostname})
    AwsKmsKeyValueStorage(key, str(path))
    return path


def test_a_swapped_file_is_taken_by_the_official_class_and_refused_by_ours(
    folder: Path, aws_key: str
) -> None:
    theirs = official(folder / "a", aws_key, "payments")
    theirs.write_bytes(official(folder / "b", aws_key, "wiki").read_bytes())
    ours, other = folder / "ours", folder / "other"
    for path in (ours, other):
        context = {"app": path.name}
        ksm_storage.open_storage(path, keys=[f"aws-kms://{aws_key}"], context=context).set("a", "b")
    ours.write_bytes(other.read_bytes())

    assert AwsKmsKeyValueStorage(aws_key, str(theirs)).read_storage()["hostname"] == "wiki"
    with pytest.raises(DecryptionError):
        ksm_storage.open_storage(ours, context={"app": "ours"})


def test_an_older_file_is_taken_by_the_official_class_and_refused_by_ours(
    folder: Path, aws_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_SEEN", str(tmp_path / "seen"))
    theirs = official(folder / "a", aws_key, "older")
    ours = folder / "ours"
    ksm_storage.open_storage(ours, keys=[f"aws-kms://{aws_key}"]).set("hostname", "older")
    before = {path: path.read_bytes() for path in (theirs, ours)}
    AwsKmsKeyValueStorage(aws_key, str(theirs)).save_storage({"hostname": "newer"})
    ksm_storage.open_storage(ours).set("hostname", "newer")
    for path, raw in before.items():
        path.write_bytes(raw)

    assert AwsKmsKeyValueStorage(aws_key, str(theirs)).read_storage()["hostname"] == "older"
    with pytest.raises(RollbackError):
        ksm_storage.open_storage(ours)

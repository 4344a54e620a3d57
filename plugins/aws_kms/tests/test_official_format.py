"""Files that Keeper's own packages sealed under a KMS key are moved into envelopes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from keeper_secrets_manager_core.configkeys import ConfigKeys
from keeper_secrets_manager_hsm.storage_aws_kms import AwsKmsKeyValueStorage

import ksm_storage
from ksm_storage.errors import DecryptionError, KsmStorageError

from .emulated_kms import EmulatedKms

CONFIG = {"clientId": "CLIENT", "hostname": "keepersecurity.eu", "privateKey": "PRIVATE"}


@pytest.fixture
def arn(emulator: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", emulator.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("KSM_STORAGE_AWS_KMS_ENDPOINT", emulator.url)
    return emulator.create_key()


def sealed_by_the_python_package(path: Path, arn: str) -> Path:
    path.write_text(json.dumps(CONFIG))
    storage = AwsKmsKeyValueStorage(key_id=arn, config_file_location=str(path))
    storage.set(ConfigKeys.KEY_HOSTNAME, CONFIG["hostname"])
    assert b"CLIENT" not in path.read_bytes()
    return path


def sealed_by_another_language(path: Path, arn: str, emulator: EmulatedKms) -> Path:
    key, nonce = os.urandom(32), os.urandom(16)
    sealed = AESGCM(key).encrypt(nonce, json.dumps(CONFIG).encode(), None)
    wrapped = emulator.client.encrypt(KeyId=arn, Plaintext=key)["CiphertextBlob"]
    parts = (wrapped, nonce, sealed[-16:], sealed[:-16])
    path.write_bytes(b"\xff\xff" + b"".join(len(p).to_bytes(2, "big") + p for p in parts))
    return path


def test_protect_moves_a_file_of_the_python_package(arn: str, tmp_path: Path) -> None:
    path = sealed_by_the_python_package(tmp_path / "c.json", arn)

    done = ksm_storage.protect(path, [f"aws-kms://{arn}"])

    assert done.form.value == "official"
    assert ksm_storage.open_storage(path).read_storage() == CONFIG


def test_open_storage_moves_a_file_of_another_language(
    arn: str, tmp_path: Path, emulator: EmulatedKms
) -> None:
    path = sealed_by_another_language(tmp_path / "c.json", arn, emulator)

    storage = ksm_storage.open_storage(path, keys=[arn])

    assert storage.read_storage() == CONFIG
    assert path.read_bytes().startswith(b"ksm-storage envelope v1\n")


def test_the_old_key_need_not_be_the_new_one(
    arn: str, tmp_path: Path, emulator: EmulatedKms
) -> None:
    path = sealed_by_the_python_package(tmp_path / "c.json", arn)
    other = emulator.create_key()

    ksm_storage.protect(path, [other], from_key=arn)

    assert ksm_storage.open_storage(path, keys=[other]).read_storage() == CONFIG


def test_the_callers_settings_are_those_of_the_old_key_too(
    arn: str, tmp_path: Path, emulator: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sealed_by_the_python_package(tmp_path / "c.json", arn)
    settings = {"aws-kms": {"endpoint": emulator.url}}
    monkeypatch.delenv("AWS_ENDPOINT_URL_KMS")
    monkeypatch.delenv("KSM_STORAGE_AWS_KMS_ENDPOINT")

    ksm_storage.protect(path, [arn], settings=settings)

    assert ksm_storage.open_storage(path, settings=settings).read_storage() == CONFIG


def test_another_key_leaves_the_file_as_it_was(
    arn: str, tmp_path: Path, emulator: EmulatedKms
) -> None:
    path = sealed_by_the_python_package(tmp_path / "c.json", arn)
    before = path.read_bytes()

    with pytest.raises(KsmStorageError):
        ksm_storage.protect(path, [emulator.create_key()])

    assert path.read_bytes() == before


@pytest.mark.parametrize("position", [0, 1, 40, -20, -1])
def test_damage_leaves_the_file_as_it_was(
    arn: str, tmp_path: Path, emulator: EmulatedKms, position: int
) -> None:
    path = sealed_by_another_language(tmp_path / "c.json", arn, emulator)
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 1
    path.write_bytes(damaged)

    with pytest.raises(KsmStorageError):
        ksm_storage.protect(path, [arn])

    assert path.read_bytes() == bytes(damaged)


def test_bytes_behind_the_end_are_refused(arn: str, tmp_path: Path, emulator: EmulatedKms) -> None:
    path = sealed_by_another_language(tmp_path / "c.json", arn, emulator)
    path.write_bytes(path.read_bytes() + b"x")

    with pytest.raises(KsmStorageError, match="trailing bytes"):
        ksm_storage.protect(path, [arn])


def test_a_ciphertext_of_something_else_is_no_configuration(
    arn: str, tmp_path: Path, emulator: EmulatedKms
) -> None:
    path = tmp_path / "c.json"
    reply = emulator.client.encrypt(KeyId=arn, Plaintext=b"CANARY, no JSON")
    path.write_bytes(reply["CiphertextBlob"])

    with pytest.raises(DecryptionError) as caught:
        ksm_storage.protect(path, [arn])

    assert "CANARY" not in str(caught.value)

"""How often Cloud KMS is called by what a program does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ksm_storage

from .emulated_kms import EmulatedKms

CONFIG = {"hostname": "keepersecurity.eu", "clientId": "x" * 88, "privateKey": "y" * 184}


@pytest.fixture
def given(kms: EmulatedKms) -> dict[str, dict[str, object]]:
    return {"gcp-kms": kms.settings}


@pytest.fixture
def sealed(kms: EmulatedKms, given: dict[str, dict[str, object]], tmp_path: Path) -> Path:
    """Return a file that was protected, its calls forgotten."""
    path = tmp_path / "client-config.json"
    path.write_text(json.dumps(CONFIG), encoding="utf-8")
    ksm_storage.protect(path, [kms.create_key().name], settings=given)
    kms.emulator.reset()
    return path


def test_creating_a_file_makes_one_encrypt_and_one_decrypt(
    kms: EmulatedKms, given: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    storage = ksm_storage.open_storage(
        tmp_path / "new.json", keys=[kms.create_key().name], settings=given
    )

    for number in range(100):
        storage.set("hostname", f"host-{number}")

    assert kms.emulator.transcript.calls() == {"Encrypt": 1, "Decrypt": 1}


def test_opening_a_file_makes_one_decrypt_and_100_sets_make_none(
    kms: EmulatedKms, given: dict[str, dict[str, object]], sealed: Path
) -> None:
    storage = ksm_storage.open_storage(sealed, settings=given)

    for number in range(100):
        storage.set("hostname", f"host-{number}")

    assert kms.emulator.transcript.calls() == {"Decrypt": 1}


def test_opening_it_again_makes_one_decrypt_again(
    kms: EmulatedKms, given: dict[str, dict[str, object]], sealed: Path
) -> None:
    for _ in range(2):
        assert ksm_storage.open_storage(sealed, settings=given).get("hostname")

    assert kms.emulator.transcript.calls() == {"Decrypt": 2}


def test_protecting_a_file_makes_the_calls_that_are_documented(
    kms: EmulatedKms, given: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    path = tmp_path / "client-config.json"
    path.write_text(json.dumps(CONFIG), encoding="utf-8")

    ksm_storage.protect(path, [kms.create_key().name], settings=given)

    # What was written is read back and opened before the plain file goes.
    assert kms.emulator.transcript.calls() == {"Encrypt": 1, "Decrypt": 1}

"""How often the token encrypts and decrypts for a file, and what a start loads for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ksm_storage import open_storage

from .interposer import Interposer
from .opening import ONE

# A second OpenSSL, and what only messages need.
NOT_TO_OPEN = {
    "_hashlib",
    "ksm_storage.contract.redaction",
    "ksm_storage_entrust_hsm.errors",
    "logging",
    "pathlib",
    "pluggy",
    "urllib.parse",
}

OPERATIONS = ("C_Encrypt", "C_Decrypt", "C_WrapKey", "C_UnwrapKey")


@pytest.fixture
def given(settings: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    return {"pkcs11": settings}


def test_a_file_costs_an_encryption_and_its_proof_to_make_and_one_decryption_to_open(
    interposer: Interposer, tmp_path: Path, given: dict[str, Mapping[str, object]]
) -> None:
    path = str(tmp_path / "client-config.json")

    created = open_storage(path, keys=[f"pkcs11:{ONE}"], settings=given)
    created.set("hostname", "keepersecurity.com")
    assert _counts(interposer) == {"C_Encrypt": 1, "C_Decrypt": 1}

    opened = open_storage(path, settings=given)
    for number in range(100):
        opened.set("clientId", str(number))
    assert opened.get("clientId") == "99"
    assert _counts(interposer) == {"C_Encrypt": 1, "C_Decrypt": 2}

    assert open_storage(path, settings=given).get("hostname") == "keepersecurity.com"
    assert _counts(interposer) == {"C_Encrypt": 1, "C_Decrypt": 3}


def test_a_file_opens_under_a_shorter_name_of_its_key(
    interposer: Interposer, tmp_path: Path, given: dict[str, Mapping[str, object]]
) -> None:
    path = str(tmp_path / "client-config.json")
    open_storage(path, keys=[f"pkcs11:{ONE}"], settings=given).set("hostname", "h")

    pinned = open_storage(path, keys=["pkcs11:token=ksm;id=%01"], settings=given)

    assert pinned.get("hostname") == "h"


def test_a_start_loads_none_of_these(
    tmp_path: Path, given: dict[str, Mapping[str, object]]
) -> None:
    path = str(tmp_path / "client-config.json")
    open_storage(path, keys=[f"pkcs11:{ONE}"], settings=given).set("hostname", "h")
    code = f"import ksm_storage, sys; ksm_storage.open_storage({path!r}, settings={given!r})"
    command = [sys.executable, "-c", f"{code}; print(*sys.modules)"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)

    assert "ksm_storage_entrust_hsm.session" in done.stdout
    assert set(done.stdout.split()) & NOT_TO_OPEN == set()


def _counts(interposer: Interposer) -> dict[str, int]:
    return {name: interposer.calls[name] for name in OPERATIONS if interposer.calls[name]}

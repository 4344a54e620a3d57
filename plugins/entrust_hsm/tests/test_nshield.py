"""The settings of nShield's library, for a person who looks for what is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from ksm_storage_entrust_hsm.abilities import is_nshield, nshield_settings


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    lines = [
        "# CKNFAST_DEBUG=9",
        "CKNFAST_LOADSHARING = 0",
        "CKNFAST_NO_UNWRAP=1",
        "junk",
        "OTHER=1",
    ]
    (tmp_path / "cknfastrc").write_text("\n".join(lines))
    environment = {"NFAST_HOME": str(tmp_path), "CKNFAST_LOADSHARING": "1", "HOME": "/root"}

    found = {each.name: (each.value, each.source) for each in nshield_settings(environment)}

    assert found == {
        "CKNFAST_LOADSHARING": ("1", "environment"),
        "CKNFAST_NO_UNWRAP": ("1", str(tmp_path / "cknfastrc")),
    }


@pytest.mark.parametrize(
    "name",
    ["CKNFAST_LOADSHARING", "CKNFAST_NO_SYMMETRIC", "CKNFAST_FAKE_ACCELERATOR_LOGIN"],
)
def test_what_gets_in_the_way_is_explained(tmp_path: Path, name: str) -> None:
    (found,) = nshield_settings({"NFAST_HOME": str(tmp_path), name: "1"})

    assert found.meaning


@pytest.mark.parametrize(
    ("module", "answer"),
    [
        ("/opt/nfast/toolkits/pkcs11/libcknfast.so", True),
        ("C:/Program Files/nCipher/nfast/toolkits/pkcs11/cknfast.dll", True),
        ("/usr/lib/softhsm/libsofthsm2.so", False),
    ],
)
def test_the_library_of_nshield_is_known_by_its_name(module: str, answer: bool) -> None:
    assert is_nshield(module) is answer

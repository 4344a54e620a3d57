"""``exec`` hands the configuration to the official ``ksm`` command, unchanged."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import ksm_storage
from tests.cli.command import key_file, run

CONFIG = {
    "clientId": base64.b64encode(b"c" * 64).decode("ascii"),
    "appKey": base64.b64encode(b"a" * 32).decode("ascii"),
    "privateKey": base64.b64encode(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    ).decode("ascii"),
    "hostname": "keepersecurity.eu",
    "serverPublicKeyId": "10",
}
KSM = Path(sys.executable).with_name("ksm")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(CONFIG))
    ksm_storage.protect(path, [key_file(tmp_path)])
    return path


def test_ksm_lists_the_profile_of_a_sealed_file(sealed: Path) -> None:
    done = run("exec", str(sealed), "--", str(KSM), "profile", "list", "--json")

    assert done.returncode == 0, done.stderr
    assert '"_default"' in done.stdout


def test_ksm_reads_the_values_of_a_sealed_file(sealed: Path) -> None:
    exported = run(
        "exec", str(sealed), "--", str(KSM), "profile", "export", "--plain", "--file-format", "json"
    )

    assert exported.returncode == 0, exported.stderr
    read = {name: value for name, value in json.loads(exported.stdout).items() if value}
    assert read == CONFIG

"""What the official command line writes and exports is read, unset fields and all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from keeper_secrets_manager_cli.config import Config

import ksm_storage
from ksm_storage.config.recognise import Form, recognise

KSM = Path(sys.executable).with_name("ksm")
SET = {"clientId": "Q0xJRU5U", "hostname": "keepersecurity.eu", "serverPublicKeyId": "10"}


@pytest.fixture
def keeper_ini(tmp_path: Path) -> Path:
    """Let the official command line write a profile that has no owner's key, and no other."""
    path = tmp_path / "keeper.ini"
    config = Config(ini_file=str(path))
    config.set_profile(
        "prod",
        client_id=SET["clientId"],
        hostname=SET["hostname"],
        server_public_key_id=SET["serverPublicKeyId"],
    )
    config.config.active_profile = "prod"
    config.has_config_file = True
    config.save()
    assert "\nappownerpublickey\n" in path.read_text()
    assert "\neditor\n" in path.read_text()
    return path


def test_its_file_is_protected(keeper_ini: Path, key: str) -> None:
    storage = ksm_storage.open_storage(keeper_ini, keys=[key])

    assert storage.read_storage() == SET
    assert ksm_storage.open_storage(keeper_ini, profile="prod").read_storage() == SET


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        (["--file-format", "ini"], Form.BASE64),
        (["--file-format", "json"], Form.BASE64),
        (["--file-format", "ini", "--plain"], Form.INI),
        (["--file-format", "json", "--plain"], Form.JSON),
    ],
    ids=["base64 of ini", "base64 of json", "ini", "json"],
)
def test_its_exports_are_read(keeper_ini: Path, arguments: list[str], form: Form) -> None:
    exported = subprocess.run(
        [KSM, "--ini-file", keeper_ini, "profile", "export", "prod", *arguments],
        capture_output=True,
        timeout=50,
        check=True,
    ).stdout

    plain = recognise(exported, name="it")

    assert plain.form is form
    assert plain.document.profiles[plain.document.chosen(None)] == SET

"""A user whom the system does not know, and who has no home, gets documented errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ksm_storage.cli.main import main
from ksm_storage.errors import StorageError
from ksm_storage.providers.os_keyring import creating

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the system names the home"
)


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what names a home; the system answers as it does for a user whom nobody made."""
    import pwd

    for name in [name for name in os.environ if name == "HOME" or name.startswith("XDG_")]:
        monkeypatch.delenv(name)

    def unknown(uid: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)


def test_the_vault_asks_for_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vault", "app", "create", "demo"]) == 2

    assert capsys.readouterr().err == (
        "error: this user has no home directory for a data folder\n"
        "hint: name a folder with --data\n"
    )


def test_a_key_file_needs_no_home(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "app.key"]) == 0
    assert main(["doctor", "--examine", f"key-file://{os.getcwd()}/app.key"]) == 0

    assert f"settings file: {os.devnull}" in capsys.readouterr().err


def test_a_new_key_of_the_keyring_asks_for_a_home() -> None:
    with pytest.raises(StorageError, match="has no home folder for the lock"), creating("app"):
        pass


@pytest.mark.parametrize("home", ["/proc", "/dev/null", "a file", "a file/b"])
def test_a_home_where_nothing_can_be_created_stops_no_opening(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    assert main(["keygen", "app.key"]) == 0
    (tmp_path / "c.json").write_text('{"clientId": "CID"}')
    assert main(["protect", "c.json", "--key", f"key-file://{tmp_path}/app.key"]) == 0

    assert main(["check", "c.json"]) == 0

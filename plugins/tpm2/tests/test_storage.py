"""A file under a TPM: PCRs that moved are shown, and sealed anew through another recipient."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.errors import KeyStateError

from .software_tpm import DEBUG_PCR, SoftwareTpm

KEY = "tpm2://owner/app"
CONFIG = {"hostname": "keepersecurity.eu", "clientId": "CID"}


@pytest.fixture
def path(tpm: SoftwareTpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seal a file under the TPM alone."""
    monkeypatch.setenv("KSM_STORAGE_TPM2_TCTI", tpm.tcti)
    monkeypatch.setenv("KSM_STORAGE_TPM2_PCRS", str(DEBUG_PCR))
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", "/dev/null")
    path = tmp_path / "config"
    ksm_storage.open_storage(path, keys=[KEY]).save_storage(CONFIG)
    return path


def status_of(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    main(["status", str(path), "--json"])
    [file] = json.loads(capsys.readouterr().out)
    found: dict[str, object] = next(r for r in file["recipients"] if r["key"] == KEY)
    return found


def test_it_opens_on_this_machine(path: Path) -> None:
    assert ksm_storage.open_storage(path).read_storage() == CONFIG


def test_pcrs_that_moved_are_shown_and_sealed_anew_through_another_recipient(
    path: Path, tpm: SoftwareTpm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["keygen", str(tmp_path / "app.key")])
    ksm_storage.rewrap(path, add=[f"key-file://{tmp_path / 'app.key'}"])
    before = status_of(path, capsys)
    tpm.extend()

    moved = status_of(path, capsys)
    assert ksm_storage.open_storage(path).read_storage() == CONFIG
    with pytest.raises(KeyStateError, match="PCRs"):
        ksm_storage.open_storage(path, keys=[KEY])
    assert main(["rewrap", str(path), "--refresh"]) == 0
    after = status_of(path, capsys)

    assert [each["is_current"] for each in (before, moved, after)] == [True, False, True]
    assert moved["version"] == before["version"] != moved["current_version"]
    assert ksm_storage.open_storage(path, keys=[KEY]).read_storage() == CONFIG


def test_doctor_names_the_tpm_and_the_pcrs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(path)]) == 0

    said = capsys.readouterr().out
    assert "TPM          IBM" in said
    assert "PCRs         sha256:16=" in said
    assert "to open: granted" in said

"""A table of the settings file is an error if it is unknown, and named if its plugin is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ksm_storage.cli.main import main
from ksm_storage.keys.discovery import DISTRIBUTIONS
from tests.doctor.conftest import Patient


@pytest.mark.parametrize(
    ("table", "unread"),
    [
        ("missing", ["missing"]),
        ('"missing://of"', ["missing://of"]),
        ("key-file", []),
        ('"key-file:///a.key"', []),
        ("trust", []),
    ],
    ids=["no plugin", "key of no plugin", "provider", "key", "core"],
)
def test_a_table_that_nothing_reads_is_named(
    patient: Patient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table: str,
    unread: list[str],
) -> None:
    monkeypatch.setitem(DISTRIBUTIONS, "missing", "ksm-storage-missing")
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[[{table}]]\n" if table == "trust" else f"[{table}]\n")
    settings.chmod(0o600)
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", str(settings))

    main(["doctor", str(patient.path)])
    said = capsys.readouterr().err
    main(["doctor", str(patient.path), "--json"])

    assert json.loads(capsys.readouterr().out)["unread_tables"] == unread
    notes = [
        f"note: the plugin for [{name}] in the settings file is not installed" for name in unread
    ]
    assert [line for line in said.splitlines() if "in the settings file" in line] == notes


def test_a_settings_file_that_is_not_trusted_is_told_by_its_own_error(
    patient: Patient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[keyfile]\n")
    settings.chmod(0o666)
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", str(settings))

    assert main(["doctor", str(patient.path), "--json"]) == 2

    assert json.loads(capsys.readouterr().out)["unread_tables"] == []


def test_a_mistyped_table_is_an_error_that_doctor_shows(
    patient: Patient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[keyfile]\n")
    settings.chmod(0o600)
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", str(settings))

    assert main(["doctor", str(patient.path)]) == 2

    out = capsys.readouterr().out
    assert "unknown name 'keyfile' at the top of" in out
    assert "did you mean [key-file]?" in out

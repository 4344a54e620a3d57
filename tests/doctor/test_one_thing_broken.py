"""With one thing broken at a time, doctor names that one thing and still tells the rest."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.kek import Kek
from ksm_storage.keys.setting_sources import FILE_VARIABLE
from ksm_storage.providers.key_file import key_uri_of, write_key_file
from ksm_storage.providers.recovery_key import RecoveryKey
from ksm_storage.storage.open_policy import OpenPolicy
from ksm_storage.testing.distributions import write_distribution
from tests.doctor.conftest import Findings, Patient

Doctor = Callable[..., Findings]
Break = Callable[[Patient], object]


def _to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _to_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


BROKEN_FILES: dict[str, tuple[Break, str]] = {
    "the file is gone": (lambda p: p.path.unlink(), "StorageError"),
    "the file is empty": (lambda p: p.path.write_bytes(b""), "StorageError"),
    "the file is plain": (lambda p: p.path.write_text('{"appKey": "CANARY"}'), "EnvelopeError"),
    "the file is a folder": (lambda p: _to_folder(p.path), "StorageError"),
    "the file is a link to nothing": (
        lambda p: _to_dangling_link(p.path),
        "StorageError",
    ),
    "the header is damaged": (
        lambda p: p.path.write_bytes(p.path.read_bytes().replace(b"suite: 1", b"suite: 9")),
        "EnvelopeError",
    ),
}

BROKEN_KEYS: dict[str, tuple[Break, str]] = {
    "the key file is gone": (lambda p: p.key_file.unlink(), "KeyNotFoundError"),
    "the key file is short": (lambda p: os.truncate(p.key_file, 31), "KeyStateError"),
    "others may read the key file": (lambda p: p.key_file.chmod(0o644), "PermissionDeniedError"),
    "the key file is a folder": (
        lambda p: _to_folder(p.key_file),
        "KeyStateError",
    ),
}

EXIT_CODES = {
    "StorageError": 7,
    "EnvelopeError": 6,
    "KeyNotFoundError": 4,
    "KeyStateError": 4,
    "PermissionDeniedError": 4,
}


def test_with_nothing_broken_there_is_no_problem(patient: Patient, doctor: Doctor) -> None:
    found = doctor(patient.path)

    assert (found.code, found.problems, found.missing(), found.notes) == (0, [], [], "")


@pytest.mark.parametrize("what", BROKEN_FILES)
def test_a_broken_file_is_the_one_problem(patient: Patient, doctor: Doctor, what: str) -> None:
    broken, error = BROKEN_FILES[what]
    broken(patient)

    found = doctor(patient.path, "--examine", f"key-file://{patient.key_file}")

    assert (found.code, found.problems) == (EXIT_CODES[error], [error])
    assert found.keys[0]["state"] == "enabled"


@pytest.mark.parametrize("what", BROKEN_KEYS)
def test_a_broken_key_is_the_one_problem(patient: Patient, doctor: Doctor, what: str) -> None:
    broken, error = BROKEN_KEYS[what]
    broken(patient)

    found = doctor(patient.path)

    assert found.code == EXIT_CODES[error]
    assert set(found.problems) | ({error} if found.missing() else set()) == {error}
    assert found.files[0]["revision"] == "1"
    assert found.keys[0]["plugin"].startswith("ksm-storage ")


def test_a_file_that_others_may_read_is_noted(patient: Patient, doctor: Doctor) -> None:
    patient.path.chmod(0o644)

    found = doctor(patient.path)

    assert found.code == 0
    assert "mode 0644" in found.notes


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write whatever the mode says"
)
@pytest.mark.parametrize(("what", "noted"), [("file", "cannot be saved"), ("folder", "in place")])
def test_what_is_read_only_is_noted(
    patient: Patient, doctor: Doctor, what: str, noted: str
) -> None:
    target = patient.path if what == "file" else patient.path.parent
    target.chmod(0o400 if what == "file" else 0o500)

    found = doctor(patient.path)

    target.chmod(0o700)
    assert found.code == 0
    assert noted in found.notes


def test_a_missing_plugin_is_named_with_its_install_command(doctor: Doctor) -> None:
    found = doctor("--examine", "nobody://x")

    assert (found.code, found.problems) == (3, ["PluginNotFoundError"])
    assert "install" in found.keys[0]["problems"][0]["hint"]


def test_a_broken_plugin_does_not_hide_another_key(
    patient: Patient, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_distribution(tmp_path, "ill", providers={"ill": "ill_module_that_is_not_there"})
    monkeypatch.syspath_prepend(tmp_path)

    found = doctor(patient.path, "--examine", "ill://x")

    assert (found.code, found.problems) == (3, ["PluginLoadError"])
    assert [key["state"] for key in found.keys] == [None, "enabled"]


def test_an_unknown_setting_is_named(
    patient: Patient, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[key-file]\ncolour = "red"\n')
    monkeypatch.setenv(FILE_VARIABLE, str(settings))

    found = doctor(patient.path)

    assert (found.code, found.problems) == (2, ["SettingsError"])
    assert "'colour'" in found.keys[0]["problems"][0]["message"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_settings_file_that_others_may_write_is_named(
    patient: Patient, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("")
    settings.chmod(0o666)
    monkeypatch.setenv(FILE_VARIABLE, str(settings))

    found = doctor(patient.path)

    assert (found.code, found.problems) == (2, ["SettingsError"])


def test_each_setting_is_shown_with_its_source_and_no_secret_with_its_value(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[recovery]\nfile = "/nowhere"\n')
    monkeypatch.setenv(FILE_VARIABLE, str(settings))
    monkeypatch.setenv("KSM_STORAGE_RECOVERY_PASSPHRASE", "CANARY")

    found = doctor("--examine", f"key-file://{tmp_path}/x", "--setting", "key-file.path=/y")
    [key_file] = found.keys
    assert key_file["settings"] == [{"name": "path", "value": "/y", "source": "argument"}]

    uri = "recovery://office/" + "A" * 43
    [recovery] = doctor("--examine", uri).keys
    assert {each["name"]: (each["value"], each["source"]) for each in recovery["settings"]} == {
        "file": ("/nowhere", "settings file"),
        "passphrase": ("(hidden)", "environment KSM_STORAGE_RECOVERY_PASSPHRASE"),
    }


def test_the_rules_that_apply_are_shown_and_a_broken_one_is_a_problem(
    patient: Patient, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_TRUST", "key-file:///another.key")

    found = doctor(patient.path)

    assert (found.code, found.problems) == (6, ["DecryptionError"])
    assert found.files[0]["rules"] == [
        {"source": "$KSM_STORAGE_TRUST", "keys": "key-file:///another.key"}
    ]


def test_a_key_that_was_created_anew_is_the_file_s_problem(
    patient: Patient, doctor: Doctor
) -> None:
    patient.key_file.unlink()
    write_key_file(patient.key_file)

    found = doctor(patient.path)

    assert (found.code, found.problems) == (6, ["DecryptionError"])
    assert found.keys[0]["problems"] == []


def test_a_damaged_payload_is_the_file_s_problem(patient: Patient, doctor: Doctor) -> None:
    lines = patient.path.read_text().splitlines()
    lines[-2] = lines[-2][:-4] + "AAAA"
    patient.path.write_text("\n".join(lines) + "\n")

    found = doctor(patient.path)

    assert (found.code, found.problems) == (6, ["DecryptionError"])


def test_a_file_opens_by_the_key_that_is_left(
    patient: Patient, doctor: Doctor, tmp_path: Path
) -> None:
    other = key_uri_of(write_key_file(tmp_path / "other.key"))
    ksm_storage.rewrap(patient.path, add=[other])
    patient.key_file.unlink()

    found = doctor(patient.path)

    assert found.files[0]["opened_by"] == other
    assert (found.code, found.problems) == (4, ["KeyNotFoundError"])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the keys that files are opened by, as they are asked."""
    found: list[str] = []
    real = OpenPolicy.open_kek

    def open_kek(policy: OpenPolicy, key: KeyUri) -> Kek:
        found.append(str(key))
        return real(policy, key)

    monkeypatch.setattr(OpenPolicy, "open_kek", open_kek)
    return found


@pytest.mark.parametrize("has_other", [True, False])
def test_a_key_that_cannot_be_used_is_not_asked_again(
    patient: Patient, doctor: Doctor, tmp_path: Path, asked: list[str], has_other: bool
) -> None:
    other = key_uri_of(write_key_file(tmp_path / "other.key"))
    if has_other:
        ksm_storage.rewrap(patient.path, add=[other])
    patient.key_file.unlink()
    asked.clear()

    assert doctor(patient.path).problems == ["KeyNotFoundError"]
    assert asked == ([other] if has_other else [])


@pytest.mark.parametrize("command", ["doctor", "status"])
def test_nobody_is_asked_for_a_recovery_secret(
    patient: Patient, asked: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recovery = RecoveryKey.of("office", os.urandom(32))
    ksm_storage.rewrap(patient.path, add=[f"recovery://{recovery.public_id}"])
    patient.key_file.unlink()
    asked.clear()

    main([command, str(patient.path)])

    assert not [key for key in asked if key.startswith("recovery://")]
    assert "trusted" not in capsys.readouterr().out


def test_for_another_purpose_no_file_is_opened(patient: Patient, doctor: Doctor) -> None:
    patient.key_file.unlink()
    write_key_file(patient.key_file)

    found = doctor(patient.path, "--for", "describe")

    assert (found.code, found.problems) == (0, [])
    assert "opened_by" not in found.files[0]


def test_an_opening_by_doctor_is_not_remembered(
    patient: Patient, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "memory"
    memory.mkdir(mode=0o700)
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(memory))

    found = doctor(patient.path)

    assert found.files[0]["opened_by"] == found.files[0]["keys"][0]
    assert list(memory.iterdir()) == []

"""A variable that looks like one of ours and is none is named; every one that is read is known."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.doctor.unread import PREFIX, READ
from tests.doctor.conftest import Patient

SOURCES = Path(ksm_storage.__file__).parent
VAULT = SOURCES.parent / "local_vault/ksm_storage_local_vault"

# Names of the plugins' options, in comments and help.
_EXAMPLES = {"KSM_STORAGE_AWS_KMS_REGION"}


def test_what_the_sources_read_is_known() -> None:
    named = {
        name
        for path in [*SOURCES.rglob("*.py"), *VAULT.rglob("*.py")]
        for name in re.findall(r"\bKSM_STORAGE_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
    }

    assert named - _EXAMPLES == READ


@pytest.mark.parametrize(
    ("variable", "named"),
    [
        ("SETING", True),
        ("KEY_FILE_PAHT", True),
        ("KEY_FILE_PATH", False),
        ("AWS_KMS_REGIN", False),
        ("MEMORY", False),
    ],
)
def test_what_nothing_reads_is_named(
    patient: Patient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    named: bool,
) -> None:
    pytest.importorskip("ksm_storage_aws_kms")
    monkeypatch.setenv(PREFIX + variable, str(patient.key_file))

    main(["doctor", str(patient.path)])
    said = capsys.readouterr().err
    main(["doctor", str(patient.path), "--json"])
    unread = json.loads(capsys.readouterr().out)["unread_variables"]

    note = f"note: unknown variable {PREFIX}{variable}; check the spelling"
    assert (note in said, unread) == (named, [PREFIX + variable] if named else [])


def test_an_option_of_a_provider_that_is_not_installed_is_named(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KSM_STORAGE_UNHEARD_OPTION", "x")

    main(["doctor", "--examine", "unheard://of", "--json"])

    assert json.loads(capsys.readouterr().out)["unread_variables"] == ["KSM_STORAGE_UNHEARD_OPTION"]

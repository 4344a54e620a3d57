"""The benchmark's steps do what they say, here for a few files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def test_files_move_from_one_key_to_another(tmp_path: Path) -> None:
    pytest.importorskip("ksm_storage_emulators")
    pytest.importorskip("ksm_storage_aws_kms")
    script, measured = Path(__file__).parents[3] / "benchmarks/fleet.py", tmp_path / "fleet.json"
    command = [sys.executable, str(script), "1", "--json", str(measured)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=55)

    assert done.returncode == 0, done.stderr
    local, kms = json.loads(measured.read_text())
    names = ["protect", "check", "status", "rewrap", "rewrap again"]
    assert local["title"] == "Fleet, key file"
    assert [row["name"] for row in local["rows"]] == [local["beside"], *names]
    assert kms["title"] == "Fleet, AWS KMS"
    assert [row["name"] for row in kms["rows"]] == names
    calls = {row["name"]: int(row["more"]["calls"]) for row in kms["rows"]}
    # What each step does for a file is what the emulator's own rate is taken from.
    assert {name: calls[name] for name in names if name != "status"} == {
        "protect": 2,
        "check": 1,
        "rewrap": 3,
        "rewrap again": 1,
    }
    assert all(row["more"]["of the emulator's own"] for row in kms["rows"])

"""The benchmark's steps do what they say, here for a few files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def test_files_move_from_one_key_of_a_kms_to_another(tmp_path: Path) -> None:
    pytest.importorskip("ksm_storage_emulators")
    pytest.importorskip("ksm_storage_aws_kms")
    script, measured = Path(__file__).parents[3] / "benchmarks/fleet.py", tmp_path / "fleet.json"
    command = [sys.executable, str(script), "3", "1000", "--json", str(measured)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=55)

    assert done.returncode == 0, done.stderr
    (table,) = json.loads(measured.read_text())
    assert table["title"] == "Fleet of 3 files"
    assert [(row["name"], row["more"]["calls"]) for row in table["rows"]] == [
        ("protect", "6"),
        ("rewrap", "9"),
        ("rewrap again", "0"),
        ("check", "3"),
    ]

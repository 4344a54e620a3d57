"""The benchmark's steps do what they say, here for a few files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_files_move_from_one_key_of_a_kms_to_another() -> None:
    pytest.importorskip("ksm_storage_emulators")
    pytest.importorskip("ksm_storage_aws_kms")
    script = Path(__file__).parents[3] / "benchmarks/fleet.py"

    done = subprocess.run(
        [sys.executable, str(script), "3", "1000"], capture_output=True, text=True, timeout=55
    )

    rows = [line.rsplit(maxsplit=5) for line in done.stdout.splitlines()[3:]]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("protect", "3", "6"),
        ("rewrap", "3", "9"),
        ("rewrap again", "3", "0"),
        ("check", "3", "3"),
    ], done.stderr

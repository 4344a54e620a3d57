"""Workflow files are what an audit of workflows finds nothing in."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = Path(sys.executable).parent / "zizmor"
WORKFLOWS = [
    *ROOT.glob("examples/**/*.yml"),
    *ROOT.glob("release/*.yml"),
    *ROOT.glob(".github/workflows/*.yml"),
]
WORKFLOWS = [path for path in WORKFLOWS if "runs-on:" in path.read_text(encoding="utf-8")]


def zizmor(*paths: Path) -> subprocess.CompletedProcess[str]:
    program = str(PROGRAM) if PROGRAM.exists() else shutil.which("zizmor")
    if program is None:
        pytest.skip("zizmor is not installed")
    command = [program, "--offline", "--no-progress", "--persona", "auditor"]
    return subprocess.run([*command, *map(str, paths)], capture_output=True, text=True)


def test_zizmor_finds_nothing() -> None:
    done = zizmor(*WORKFLOWS)

    assert len(WORKFLOWS) > 1
    assert done.returncode == 0, done.stdout


def test_zizmor_finds_an_action_without_a_hash(tmp_path: Path) -> None:
    workflow = (ROOT / "release/release.yml").read_text(encoding="utf-8")
    planted = tmp_path / "planted.yml"
    planted.write_text(re.sub(r"checkout@[0-9a-f]{40}", "checkout@v5", workflow))

    assert "unpinned-uses" in zizmor(planted).stdout

"""The command line does what the scripts beside this file say: each a page of commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transcript import run_page

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.md"))


# A page starts dozens of processes, and each command has a limit of its own.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_commands_do_what_the_script_says(script: Path, tmp_path: Path) -> None:
    assert run_page(script, tmp_path) > 0, "the script runs nothing"

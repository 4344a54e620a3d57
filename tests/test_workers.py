"""What one worker runs: whole files, so that what their tests share is made once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SPREAD_FILES, unit_of_work

ROOT = Path(__file__).parents[1]
SIX_TESTS = """
import os
import pytest

@pytest.mark.parametrize("number", range(6))
def test_it(number):
    with open("{name}", "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def test_each_file_whose_tests_are_spread_exists() -> None:
    assert [name for name in SPREAD_FILES if not (ROOT / name).is_file()] == []


def test_the_unit_of_work_is_the_file_but_for_those_that_are_spread() -> None:
    spread = f"{min(SPREAD_FILES)}::test_it[a::b]"

    assert unit_of_work("tests/test_workers.py::TestIt::test_it[a::b]") == "tests/test_workers.py"
    assert unit_of_work(spread) == spread


def test_the_tests_of_a_file_run_in_one_worker(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "conftest.py").write_text(
        "from tests.conftest import pytest_xdist_make_scheduler\n"
    )
    for name in ("a", "b"):
        (tmp_path / f"test_{name}.py").write_text(SIX_TESTS.format(name=name))

    # As scripts/run-tests calls it.
    distributed = ["-p", "xdist", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", ".", *distributed, "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=True,
        capture_output=True,
        timeout=60,
    )

    workers = [set((tmp_path / name).read_text().split()) for name in ("a", "b")]
    assert [len(each) for each in workers] == [1, 1]
    assert workers[0] != workers[1]

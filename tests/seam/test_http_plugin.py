"""The example in ``examples/http_plugin`` is as small as promised, and conforms over a wire."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ksm_storage.testing.distributions import write_distribution

EXAMPLE = Path(__file__).parents[2] / "examples" / "http_plugin"
MODULE = EXAMPLE / "ksm_storage_lockbox.py"

pytestmark = pytest.mark.timeout(300)


def test_the_example_passes_the_conformance_suite(tmp_path: Path) -> None:
    write_distribution(
        tmp_path,
        "ksm-storage-lockbox",
        providers={"lockbox": "ksm_storage_lockbox"},
        modules={MODULE.name: MODULE.read_text(encoding="utf-8")},
    )

    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull),
            *("-rs", str(EXAMPLE / "tests")),
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "surroundings_tests" not in ran.stdout, "every network and every process is tried"


def test_the_example_has_at_most_120_lines() -> None:
    assert len(MODULE.read_text(encoding="utf-8").splitlines()) <= 120

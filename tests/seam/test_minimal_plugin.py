"""The example in ``examples/minimal_plugin`` installs, is as small as promised, and conforms."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "minimal_plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example into a folder of its own, as pip installs any distribution."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--disable-pip-version-check", "--target", target, EXAMPLE),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return target


def test_the_example_passes_the_conformance_suite_once_it_is_installed(installed: Path) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull),
            str(EXAMPLE / "tests"),
        ],
        env={**os.environ, "PYTHONPATH": str(installed), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=installed,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


def test_the_example_is_under_thirty_lines_of_code() -> None:
    source = (EXAMPLE / "ksm_storage_minimal.py").read_text()

    assert len(lines_of_code(source)) < 30


def test_the_count_sees_code_and_nothing_else() -> None:
    source = (
        '"""Docstring."""\n# comment\n\nx = 1\n\ndef f():\n    """Docs."""\n    g(\n        1)\n'
    )

    assert lines_of_code(source) == {4, 6, 8, 9}


def lines_of_code(source: str) -> set[int]:
    """Return the numbers of the lines that hold a statement, docstrings left out."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            lines.add(node.lineno)
            lines.update(decorator.lineno for decorator in node.decorator_list)
        elif isinstance(node, ast.stmt | ast.ExceptHandler):
            last = node.end_lineno if not hasattr(node, "body") else node.lineno
            lines.update(range(node.lineno, (last or node.lineno) + 1))
    return lines

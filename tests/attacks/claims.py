"""The mark by which a test says which row of the threat model's table it holds."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "threat-model.md"

_MARK = "the_attacker"


def the_attacker(does: str) -> pytest.MarkDecorator:
    """Mark a test by the first cell of the row whose promise it holds."""
    return pytest.mark.the_attacker(does)


def rows() -> list[str]:
    """Return the first cell of each row of the table 'Attacks and promises'."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition("\n## Attacks and promises\n")
    table = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [line.split("|")[1].strip() for line in table[2:]]


def claimed() -> dict[str, list[str]]:
    """Return the tests by the row that each claims: here, of the relay, of devices and of FIPS."""
    found: dict[str, list[str]] = {}
    others = [FOLDER.parent / name for name in ("relay", "device")]
    files = [path for folder in (FOLDER, *others) for path in folder.glob("test_*.py")]
    files.append(FOLDER.parent / "unit" / "test_fips.py")
    for path in sorted(files):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for row in _claims_of(node):
                    found.setdefault(row, []).append(f"{path.name}::{node.name}")
    return found


def _claims_of(function: ast.FunctionDef) -> list[str]:
    return [
        argument.value
        for call in function.decorator_list
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == _MARK
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]

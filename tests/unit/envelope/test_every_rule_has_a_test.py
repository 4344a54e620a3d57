"""docs/envelope-format.md says that a test names each numbered MUST; this holds it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[2] / "docs/envelope-format.md"


def test_every_rule_of_the_format_is_named_by_a_test_and_every_named_rule_exists() -> None:
    rules = re.findall(r"^- \*\*([A-Z]\d+)\*\* ", PAGE.read_text(), flags=re.MULTILINE)

    assert len(set(rules)) == len(rules) >= 34
    assert _named_rules() == set(rules)


def _named_rules() -> set[str]:
    named: set[str] = set()
    for path in FOLDER.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                match = re.match(r"test_([a-z]\d+(?:_and_[a-z]\d+)*)_", node.name)
                named |= set(match[1].upper().split("_AND_")) if match else set()
    return named

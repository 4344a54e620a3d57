"""``docs/it-does-not-open.md`` quotes messages that the code prints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/it-does-not-open.md").read_text(encoding="utf-8")
MESSAGES = [
    message
    for cell in re.findall(r"^\| (`.+?) \| ", PAGE, re.MULTILINE)
    for message in re.findall(r"`([^`]+)`", cell)
]
ANYTHING = "…"


@cache
def texts() -> tuple[str, ...]:
    """Return every text in the sources, with what is filled in later as ``…``."""
    sources = [*ROOT.glob("ksm_storage/**/*.py"), *ROOT.glob("plugins/*/ksm_storage_*/**/*.py")]
    return tuple(text for path in sources for text in _texts(path))


def _texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = (
                part.value if isinstance(part, ast.Constant) else ANYTHING for part in node.values
            )
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"\{\w+\}", ANYTHING, node.value)


def test_the_page_quotes_messages() -> None:
    assert len(MESSAGES) > 60


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_message_is_one_of_the_code(message: str) -> None:
    assert any(message in text for text in texts())

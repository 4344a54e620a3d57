"""``docs/it-does-not-open.md`` and ``docs/network.md`` quote messages that the code prints."""

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
NETWORK = (ROOT / "docs/network.md").read_text(encoding="utf-8")
# What the page writes for a value, with the quotation marks around it.
VALUE = re.compile(
    r"'?(?:\.\.\.|HOST:PORT|PATH|\(?(?:HTTPS_PROXY|SSL_CERT_FILE)\)?|http://)'?|50\d\)"
)


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


def words_of_network_errors() -> list[str]:
    """Return what the page on networks quotes, without the values."""
    section = NETWORK.partition("\n## What the errors say\n")[2].partition("\n## ")[0]
    quoted = re.findall(r"`([^`]+)`", section)
    parts = (part.strip() for message in quoted for part in VALUE.split(message))
    return sorted({part for part in parts if " " in part})


def test_the_page_on_networks_quotes_messages() -> None:
    assert len(words_of_network_errors()) > 10


@pytest.mark.parametrize("words", words_of_network_errors())
def test_the_words_of_a_network_error_are_of_the_code(words: str) -> None:
    assert any(words in text for text in texts())

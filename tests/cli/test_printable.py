"""Text from elsewhere is shown in a form that steers no terminal."""

from __future__ import annotations

import json

import pytest

from ksm_storage.cli.output import printable, printable_json

HOSTILE = ["\x1b[2J", "\x9b2J", "\x7f", "\r", "\n", "\u202e", "\udcff", "\x00"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_character_that_is_not_printable_is_escaped(text: str) -> None:
    assert printable(f"a{text}é").isprintable()
    assert printable(f"a{text}é").startswith("a\\")


def test_printable_text_is_as_it_was() -> None:
    assert printable("c:\\été 日本 😀") == "c:\\été 日本 😀"


@pytest.mark.parametrize("text", HOSTILE)
def test_json_says_the_same_and_holds_no_such_character(text: str) -> None:
    written = printable_json({"é": [text]}, indent=2)

    assert json.loads(written) == {"é": [text]}
    assert written.replace("\n", "").isprintable()
    assert "é" in written

"""What is refused before the INI parser sees it is what the parser refuses, and nothing else."""

from __future__ import annotations

import configparser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksm_storage.config.ini_form import first_bad_line

PIECES = ["[", "]", "=", ":", "#", ";", "a", "b", " ", "\t", "\n", "\n", "\r", "\x0b", "\u2003"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map(lambda p: "[x]\n" + "".join(p)))
def test_a_line_is_refused_only_if_the_parser_refuses_the_text(text: str) -> None:
    parser = configparser.RawConfigParser(default_section="", strict=True, allow_no_value=True)
    try:
        parser.read_string(text)
    # Before Python 3.13 a line that goes on behind a name without value is an AttributeError.
    except (configparser.Error, AttributeError):
        return

    assert first_bad_line(text) is None


@given(st.lists(st.sampled_from(PIECES), max_size=40).map(lambda p: "[x]\n" + "".join(p)))
def test_no_line_is_left_that_the_parser_would_collect(text: str) -> None:
    parser = configparser.RawConfigParser(default_section="", strict=True, allow_no_value=True)
    kind: type[Exception] | None = None
    try:
        parser.read_string(text)
    except (configparser.Error, AttributeError) as exc:
        kind = type(exc)

    # Not a subclass: a missing header, and in Python 3.13 a line that goes on behind a name
    # without value, end the parsing at once.
    if kind is configparser.ParsingError:
        assert first_bad_line(text) is not None


@pytest.mark.parametrize("name", ["a" + " " * 16 + "b", "a\t \t" * 8 + "b" + " " * 16 + "c"])
def test_a_name_with_many_blanks_inside_is_refused(name: str) -> None:
    assert first_bad_line(f"[x]\n{name} = c\n") == 2


def test_blanks_around_a_delimiter_may_be_many() -> None:
    assert first_bad_line(f"[x]\na{' ' * 99}={' ' * 99}b{' ' * 99}c\n") is None

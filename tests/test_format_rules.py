"""The numbered rules of the format page and the tests that name them are the same."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("envelope-format.md", "continuity.md", "trust-rules.md")
# Where tests and vectors name a rule of the format: in the name of a test, an id, a docstring.
NAMING = ("unit/envelope", "vectors", "interop", "second_reader")

_ON_PAGE = re.compile(r"^- \*\*([A-Z]\d+)\*\* ", re.MULTILINE)
_NAMED = re.compile(r"(?<![A-Za-z0-9.])(?:test_)?([ESWRMeswrm])([1-9]\d?)(?=_|\b)")
_RANGE = re.compile(r"\b([ESWRM])(\d+) to \1(\d+)\b")
_IN_CODE = re.compile(r"(?<![A-Za-z0-9])([ESWRMCT]\d{1,2})(?=[),]| to | and )")


def rules_of(*pages: str) -> list[str]:
    return [
        rule
        for page in pages
        for rule in _ON_PAGE.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    ]


def named_by(text: str) -> set[str]:
    """Return the rules that a text names, those inside of a range not included."""
    return {f"{letter.upper()}{number}" for letter, number in _NAMED.findall(text)}


def named_by_tests() -> set[str]:
    files = [file for folder in NAMING for file in (ROOT / "tests" / folder).rglob("*.py")]
    # A range, as in "the rules E1 to E19", tests none of them.
    return named_by("\n".join(_RANGE.sub("", file.read_text("utf-8")) for file in files))


def test_each_rule_of_the_format_page_has_one_number_and_is_named_by_a_test() -> None:
    rules = rules_of("envelope-format.md")

    assert len(rules) == len(set(rules)) > 45
    assert sorted(set(rules) - named_by_tests()) == []


def test_each_rule_that_a_test_names_is_on_the_format_page() -> None:
    assert sorted(named_by_tests() - set(rules_of("envelope-format.md"))) == []


def test_each_rule_that_the_code_names_is_on_a_page() -> None:
    files = (ROOT / "ksm_storage").rglob("*.py")
    named = {rule for file in files for rule in _IN_CODE.findall(file.read_text("utf-8"))}

    assert named
    assert sorted(named - set(rules_of(*PAGES))) == []

"""``docs/errors.md`` says what the code does: every class, exit code and attribute."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ksm_storage import errors
from ksm_storage.errors import KsmStorageError

PAGE = (Path(__file__).parent.parent / "docs" / "errors.md").read_text(encoding="utf-8")
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, KsmStorageError)
}
SECTIONS = dict(re.findall(r"^## `(\w+)`\n\n(.*?)(?=\n## |\Z)", PAGE, re.M | re.S))


def test_every_class_has_a_section_in_the_order_of_the_code() -> None:
    assert list(SECTIONS) == list(CLASSES)


def test_the_table_gives_every_class_with_its_exit_code_and_whether_to_retry() -> None:
    rows = re.findall(r"^\| \[`(\w+)`\]\(#\w+\) \| (\d+) \| (yes|no) \|$", PAGE, re.M)

    assert rows == [
        (name, str(kind.exit_code), "yes" if kind.retryable else "no")
        for name, kind in CLASSES.items()
    ]


@pytest.mark.parametrize("name", CLASSES)
def test_a_section_says_when_it_is_raised_and_what_to_do(name: str) -> None:
    assert re.match(r"- Raised: .+?^- Do: .+", SECTIONS[name], re.M | re.S)


def test_every_attribute_is_explained() -> None:
    attributes = set(re.findall(r"^\| `(\w+)` \| [^|]+ \|$", PAGE, re.M))

    assert attributes == {*vars(KsmStorageError("it failed")), "retryable", "exit_code"}


def test_the_engines_own_classes_are_listed_with_their_exit_codes() -> None:
    engine = pytest.importorskip("ksm_storage.engine.errors", reason="there is no engine here")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (yes|no) \| .+ \|$", PAGE, re.M)

    assert rows == [
        (name, str(kind.exit_code), "yes" if kind.retryable else "no")
        for name, kind in vars(engine).items()
        if isinstance(kind, type) and issubclass(kind, KsmStorageError)
        if kind.__module__ == engine.__name__
    ]

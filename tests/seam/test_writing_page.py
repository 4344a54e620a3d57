"""``docs/plugins/writing.md`` names all that a plugin author has; ``test_docs.py`` follows it."""

from __future__ import annotations

import re
from pathlib import Path

import pluggy
import pytest

from ksm_storage import plugin
from ksm_storage.contract import hookspecs
from ksm_storage.errors import KsmStorageError
from ksm_storage.testing.subject import Subject
from tests.markdown_page import File, read_steps

PAGE = (Path(__file__).parents[2] / "docs" / "plugins" / "writing.md").read_text(encoding="utf-8")

ERRORS = [
    name
    for name in plugin.__all__
    if isinstance(getattr(plugin, name), type)
    and issubclass(getattr(plugin, name), KsmStorageError)
    and name != "KsmStorageError"
]
# Fixtures that the suite derives from the others.
DERIVED = {"key_wrapper", "other_key_wrapper", "no_settings_file"}
SUPPLIED = [name for name in vars(Subject) if not name.startswith("_") and name not in DERIVED]


def hook_names() -> list[str]:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return sorted(vars(manager.hook))


@pytest.mark.parametrize("hook", hook_names())
def test_every_hook_is_documented_with_its_arguments(hook: str) -> None:
    arguments = ", ".join(getattr(hookspecs, hook).__annotations__.keys() - {"return"})

    row = re.search(rf"^\| `{hook}\(([a-z_, ]*)\)` \|", PAGE, re.M)

    assert row is not None
    assert sorted(row[1].split(", ")) == sorted(arguments.split(", "))


@pytest.mark.parametrize("hook", hook_names())
def test_the_tutorials_plugin_implements_every_hook(hook: str) -> None:
    hooks = next(s.text for s in read_steps(PAGE) if isinstance(s, File) and "hooks" in s.name)

    assert f"@hookimpl\ndef {hook}(" in hooks


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_has_a_row_of_the_table(error: str) -> None:
    assert re.search(rf"^\| .+ \| `{error}`.* \|$", PAGE, re.M)


@pytest.mark.parametrize("name", SUPPLIED)
def test_everything_that_an_author_may_supply_is_documented(name: str) -> None:
    assert f"`{name}`" in PAGE or f"def {name}(" in PAGE or f"    {name} = " in PAGE


@pytest.mark.parametrize("name", plugin.__all__)
def test_everything_that_an_author_imports_is_mentioned(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE)

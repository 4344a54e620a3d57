"""Imports go one way: a part may import what stands at or below it, and nothing above."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "ksm_storage"

# What each room may import of ours, besides itself. A room is a module or folder right below
# ksm_storage; one that is not listed here may import only the plugin author's side of the seam.
SEAM = frozenset({"errors", "contract"})
PLUGIN_SIDE = SEAM | {"plugin_kit", "plugin"}
CORE_SIDE = PLUGIN_SIDE | {"core_dumps", "keys"}
AUDITED = CORE_SIDE | {"audit"}
STORED = AUDITED | {"envelope", "config", "legacy"}
TOP = frozenset({"cli", "__main__"})  # imports everything, and nothing imports it

MAY_IMPORT: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "gc_pause": frozenset(),
    "core_dumps": frozenset(),
    "contract": frozenset({"errors"}),
    "plugin_kit": SEAM,
    "plugin": SEAM | {"gc_pause", "plugin_kit"},
    "keys": PLUGIN_SIDE | {"core_dumps"},
    # Besides being plugins, they make keys and keep them in files: "storage" is for its lock.
    "providers": PLUGIN_SIDE | {"keys", "storage"},
    "audit": PLUGIN_SIDE | {"keys"},
    "envelope": AUDITED,
    "config": frozenset({"errors"}),
    "legacy": CORE_SIDE | {"config"},
    "storage": STORED,
    "status": STORED | {"storage"},
    "doctor": STORED | {"storage"},
    "batch": frozenset({"errors"}),
    "scan": frozenset({"errors", "config"}),
    "wire": frozenset({"errors"}),
    "engine": frozenset({"errors", "gc_pause", "wire"}),
    "testing": CORE_SIDE | {"envelope"},
}

Import = tuple[str, int]


def test_the_parts_listed_here_do_not_import_in_a_circle() -> None:
    done: set[str] = set()
    waiting = dict(MAY_IMPORT)
    while waiting:
        ready = [part for part, below in waiting.items() if below & MAY_IMPORT.keys() <= done]
        assert ready, f"each of {sorted(waiting)} may import another of them"
        done |= set(ready)
        for part in ready:
            del waiting[part]


def part_of(path: Path) -> str:
    """Return the folder or module right below the package; nothing for the package itself."""
    first = path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


SOURCES = [path for path in sorted((ROOT / PACKAGE).rglob("*.py")) if part_of(path) not in TOP]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_only_what_stands_below_it(path: Path) -> None:
    part = part_of(path)
    allowed = {part, "", *MAY_IMPORT.get(part, PLUGIN_SIDE)}
    if part == "":
        allowed |= {"gc_pause", "storage"}  # the package's public names, resolved lazily

    wrong = [f"line {line}: {PACKAGE}.{name}" for name, line in ours(path) if name not in allowed]

    assert not wrong, f"{part or PACKAGE} may not import {', '.join(wrong)}"


@pytest.mark.parametrize(
    "path",
    sorted(ROOT.glob("plugins/*/ksm_storage_*/**/*.py")),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_a_plugin_imports_only_the_plugin_side_and_itself(path: Path) -> None:
    itself = path.relative_to(ROOT).parts[2]

    for name, line in imports(path):
        top = name.partition(".")[0]
        if top == PACKAGE:
            assert name.startswith(f"{PACKAGE}.plugin"), f"line {line}: {name}"
        else:
            assert not top.startswith(f"{PACKAGE}_") or top == itself, f"line {line}: {name}"


def test_the_smallest_plugin_imports_only_the_plugin_side() -> None:
    path = ROOT / "examples" / "minimal_plugin" / "ksm_storage_minimal.py"

    assert {name for name, _ in ours(path)} == {"plugin"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import ksm_storage.keys.kek", {"ksm_storage.keys.kek"}),
        ("from ksm_storage.keys import kek", {"ksm_storage.keys.kek"}),
        ("from ksm_storage.keys.kek import Kek", {"ksm_storage.keys.kek.Kek"}),
        ("from . import model", {"ksm_storage.envelope.model"}),
        ("from .. import errors", {"ksm_storage.errors"}),
        ("from ..cli.main import main", {"ksm_storage.cli.main.main"}),
        ("def f():\n    from ..keys.kek import Kek", {"ksm_storage.keys.kek.Kek"}),
        ("import os", {"os"}),
    ],
)
def test_every_form_of_an_import_is_seen(text: str, found: set[str]) -> None:
    assert {name for name, _ in read_imports(text, "ksm_storage.envelope")} == found


def ours(path: Path) -> Iterator[Import]:
    """Yield the parts of ours that a file imports, with the line."""
    for name, line in imports(path):
        top, _, rest = name.partition(".")
        if top == PACKAGE:
            part = rest.partition(".")[0]
            # "from ksm_storage import __version__" and the like name no part.
            yield (part if exists(part) else ""), line


def exists(part: str) -> bool:
    """Tell whether there is such a module or folder, or will be one that is listed here."""
    place = ROOT / PACKAGE / part
    return part in MAY_IMPORT or place.is_dir() or place.with_suffix(".py").is_file()


def imports(path: Path) -> Iterator[Import]:
    """Yield the full names that a file imports, wherever in it, with the line."""
    folder = path.parent
    names: list[str] = []
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    yield from read_imports(path.read_text(encoding="utf-8"), ".".join(names))


def read_imports(text: str, package: str) -> Iterator[Import]:
    """Yield what a text imports as a module of the package."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            start = [*(above if node.level else []), *([node.module] if node.module else [])]
            yield from ((".".join([*start, alias.name]), node.lineno) for alias in node.names)

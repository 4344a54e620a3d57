"""Imports go one way, as the table of rooms in ``docs/index.md`` says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "ksm_storage"

# A room is a module or folder right below ksm_storage; the table says what each may import.
PAGE = ROOT / "docs" / "index.md"
_ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)
_ENTRY = re.compile(r"`(\w+)`( and below)?")
TOP = frozenset({"cli", "__main__"})  # imports everything, and nothing imports it


def read_table(text: str) -> dict[str, frozenset[str]]:
    """Return what each room of the page's table may import, besides itself."""
    rooms: dict[str, frozenset[str]] = {}
    for room, allowed in _ROW.findall(text):
        if allowed == "everything":
            continue
        below: set[str] = set()
        for name, deeper in _ENTRY.findall(allowed):
            # A room stands below those that import it, so its own row comes first.
            below |= {name, *(rooms[name] if deeper else ())}
        rooms[room] = frozenset(below)
    return rooms


MAY_IMPORT = read_table(PAGE.read_text(encoding="utf-8").partition("## The rooms")[2])

Import = tuple[str, int]


def test_every_room_is_in_the_table_and_the_other_way_round() -> None:
    modules = {path.stem for path in (ROOT / PACKAGE).glob("*.py")} - {"__init__", "__main__"}
    folders = {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}

    assert set(MAY_IMPORT) == (modules | folders) - TOP


def test_every_room_is_in_the_picture() -> None:
    picture = PAGE.read_text(encoding="utf-8").partition("```mermaid")[2].partition("```")[0]

    # These stand beside the house: what any room may use, and what only tests use.
    beside = {"named_tuple", "network", "process", "testing"}
    assert {room for room in MAY_IMPORT if room not in picture} == beside


def test_a_room_stands_below_those_that_import_it() -> None:
    above: set[str] = set()
    for room, below in MAY_IMPORT.items():
        assert below <= above, f"{room} may import {sorted(below - above)}, which stand no lower"
        above.add(room)


@pytest.mark.parametrize(
    ("allowed", "rooms"),
    [
        ("nothing", set()),
        ("`a`", {"a"}),
        ("`b` and below", {"a", "b"}),
        ("`b` for its lock", {"b"}),
        ("`b` and below, `d`", {"a", "b", "d"}),
    ],
)
def test_a_row_is_read_as_it_says(allowed: str, rooms: set[str]) -> None:
    text = f"| `a` | x | nothing |\n| `b` | x | `a` |\n| `d` | x | `b` |\n| `e` | x | {allowed} |"

    assert read_table(text)["e"] == rooms


def part_of(path: Path) -> str:
    """Return the folder or module right below the package; nothing for the package itself."""
    first = path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


SOURCES = [path for path in sorted((ROOT / PACKAGE).rglob("*.py")) if part_of(path) not in TOP]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_only_what_stands_below_it(path: Path) -> None:
    part = part_of(path)
    allowed = {part, "", *MAY_IMPORT.get(part, frozenset())}
    if part == "":
        allowed |= {"process", "storage"}  # the package's public names, resolved lazily

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


PACKAGES = [
    ROOT / PACKAGE,
    ROOT / "local_vault" / "ksm_storage_local_vault",
    ROOT / "emulators" / "ksm_storage_emulators",
    *sorted(ROOT.glob("plugins/*/ksm_storage_*")),
]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_modules_import_each_other_when_they_are_loaded(package: Path) -> None:
    paths = {_module(path): path for path in package.rglob("*.py")}
    waiting = {
        name: {each for each in (_module_of(each, paths) for each in _at_load(path)) if each}
        - {name}
        for name, path in paths.items()
    }
    # Take away what waits for nothing, again and again; a circle is what stays.
    while ready := {name for name, needed in waiting.items() if not needed & waiting.keys()}:
        waiting = {name: needed for name, needed in waiting.items() if name not in ready}

    assert not waiting


def _module(path: Path) -> str:
    folder = path.parent
    parts = [] if path.stem == "__init__" else [path.stem]
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def _module_of(name: str, paths: dict[str, Path]) -> str | None:
    """Return the module that an imported name is, or is a part of."""
    return next((each for each in (name, name.rpartition(".")[0]) if each in paths), None)


def _at_load(path: Path) -> Iterator[str]:
    """Yield what a file imports outside functions, and not for the type checker alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    tree.body = [
        node
        for node in tree.body
        if not isinstance(node, late)
        and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    package = _module(path) if path.stem == "__init__" else _module(path).rpartition(".")[0]
    yield from (name for name, _ in read_imports(ast.unparse(tree), package))


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
    """Tell whether there is such a module or folder."""
    place = ROOT / PACKAGE / part
    return place.is_dir() or place.with_suffix(".py").is_file()


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

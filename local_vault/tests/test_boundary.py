"""Server and owner share the database; vault and engine share the wire format."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import ksm_storage_local_vault
import pytest

VAULT = Path(ksm_storage_local_vault.__file__).parent
SERVER = VAULT / "server"
OWNER = VAULT / "owner"
COMMANDS = VAULT / "commands"


@pytest.mark.parametrize("file", sorted(SERVER.glob("*.py")), ids=lambda file: file.stem)
def test_the_server_imports_nothing_of_the_owner(file: Path) -> None:
    assert not {name for name in _imports(file) if ".owner" in name}


@pytest.mark.parametrize("file", sorted(OWNER.glob("*.py")), ids=lambda file: file.stem)
def test_the_owner_imports_nothing_of_the_server(file: Path) -> None:
    assert not {name for name in _imports(file) if ".server." in f"{name}."}


@pytest.mark.parametrize("file", sorted(VAULT.rglob("*.py")), ids=lambda file: file.stem)
def test_only_the_protocol_files_and_errors_are_shared_with_ksm_storage(file: Path) -> None:
    ours = {name.split(".")[1] for name in _imports(file) if name.startswith("ksm_storage.")}

    # The commands speak as the other commands of ksm-storage do, and the fixture is a client.
    more = {"cli"} if COMMANDS in file.parents else set()
    more |= {"engine"} if file.stem == "pytest_plugin" else set()
    assert ours <= {"wire", "serving", "files", "errors"} | more


def _imports(file: Path) -> Iterator[str]:
    package = (VAULT.name, *file.relative_to(VAULT).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join([*above, *([node.module] if node.module else [])])

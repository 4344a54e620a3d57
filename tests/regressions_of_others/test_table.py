"""The table of the README and the tests beside it say the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

FOLDER = Path(__file__).parent
KEEPER = "Keeper-Security/secrets-manager"
# What the first words of a test's name mean; behind those with an owner stands an issue's number.
PROJECTS = {
    "secrets_manager": KEEPER,
    "aws_encryption_sdk_python": "aws/aws-encryption-sdk-python",
    "azure_sdk_for_net": "Azure/azure-sdk-for-net",
    "go_kms_wrapping": "hashicorp/go-kms-wrapping",
    "keyring": "jaraco/keyring",
    "oci_python_sdk": "oracle/oci-python-sdk",
    "pulumi": "pulumi/pulumi",
    "sops": "getsops/sops",
    "teleport": "gravitational/teleport",
    "vault": "hashicorp/vault",
}
RELEASES = {
    "storage_1_1_0": "measured, storages 1.1.0",
    "core_17_3_0": "measured, SDK 17.3.0",
    "cli_1_5_0": "read, CLI 1.5.0",
}


class Row(NamedTuple):
    """Hold a row of the table."""

    defect: str
    published: str
    here: str
    shown: str
    test: str


def rows_of_the_page() -> list[Row]:
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [Row(*row) for row in cells[2:]]


def rows_of_the_tests() -> Iterator[Row]:
    for path in sorted(FOLDER.glob("test_*.py")):
        if path == Path(__file__):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield row_of(node)


def row_of(test: ast.FunctionDef) -> Row:
    text = re.sub(r"\s+", " ", ast.get_docstring(test) or "").replace("``", "`")
    said = re.fullmatch(r"There, (.+); here, (.+)\.", text)
    assert said, f"{test.name}: write 'There, ...; here, ...'"
    shown = any(argument.arg.startswith("official_") for argument in test.args.args)
    return Row(said[1], published(test.name), said[2], "yes" if shown else "", f"`{test.name}`")


def published(name: str) -> str:
    """Return where the defect stands that a test is named by."""
    name = name.removeprefix("test_")
    for prefix, release in RELEASES.items():
        if name.startswith(f"{prefix}_"):
            return release
    if tracked := re.match(r"ksm_(\d+)_", name):
        return f"KSM-{tracked[1]}"
    for prefix, project in PROJECTS.items():
        if issue := re.match(rf"{prefix}_(\d+)_", name):
            link = f"https://github.com/{project}/issues/{issue[1]}"
            return f"[{project.split('/')[1]}#{issue[1]}]({link})"
    pytest.fail(f"{name}: name the issue first, or the release that shows it")


def test_each_test_has_its_row_and_each_row_its_test() -> None:
    assert rows_of_the_page() == list(rows_of_the_tests())

"""With ``--json`` every command writes only JSON, with its usual success and failure.

The lines of the snapshots are run once more, where libraries write to stderr, the locale is not
UTF-8 and a file's name is not text. Exit codes are those of the snapshots.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastjsonschema
import pytest

from tests.cli.every_command import LINES, SNAPSHOTS, fill, leaf_of, share

if TYPE_CHECKING:
    from ksm_storage_local_vault.testing import LocalVault

testing = pytest.importorskip("ksm_storage_local_vault.testing")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="each command is a fork")

ROOT = Path(__file__).parents[2]
CODES = re.findall(r"^\[exit ([0-9]+)\]$", (SNAPSHOTS / "80.txt").read_text("utf-8"), re.MULTILINE)
ODD_NAME = os.fsdecode(b"c'\n\xff\".json")
SCHEMA = json.loads(
    files("ksm_storage.cli").joinpath("schemas", "output.schema.json").read_text("utf-8")
)
# What a program that is started prints is its own.
PROGRAMS = ("exec", "run")
# The first success of each command.
SUCCESSES = list(
    {
        leaf: line
        for line, code in reversed(list(zip(LINES, CODES, strict=True)))
        if code == "0" and (leaf := leaf_of(line)) not in ("", *PROGRAMS)
    }.values()
)[::-1]
HARSH = {
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONUTF8": "0",
    "PYTHONDEVMODE": "1",
    "PYTHONWARNINGS": "always",
    "ODD_NAME": ODD_NAME,
}


class Told:
    """Hold what a command wrote, and how it ended."""

    def __init__(self, place: Path) -> None:
        self.code = place.with_suffix(".code").read_text()
        self.out = place.with_suffix(".out").read_text(encoding="utf-8")
        self.err = place.with_suffix(".err").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with testing.running_vault(tmp_path_factory.mktemp("vault")) as running:
        yield running


@pytest.fixture(scope="module")
def harsh(vault: LocalVault, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Told]:
    return run_lines(LINES, vault, tmp_path_factory.mktemp("harsh"), HARSH)


@pytest.fixture(scope="module")
def closed(vault: LocalVault, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Told]:
    variables = {"STDOUT_IS_CLOSED": "1"}
    return run_lines(SUCCESSES, vault, tmp_path_factory.mktemp("closed"), variables)


def run_lines(
    lines: Sequence[str], vault: LocalVault, above: Path, variables: Mapping[str, str]
) -> Sequence[Told]:
    folder, written = above / "work", above / "written"
    folder.mkdir()
    written.mkdir()
    with contextlib.chdir(folder):
        fill(folder)
        Path("script").write_text("\n".join(lines))
        share(vault, above.name)
        if "ODD_NAME" in variables:
            os.rename("c.json", variables["ODD_NAME"])
    known = {"HOME": str(folder), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "tests.cli.in_terminal", str(written)],
        cwd=folder,
        env={**known, "REQUESTS_CA_BUNDLE": str(folder / "ca.pem"), **variables},
        check=True,
        timeout=110,
        stdout=subprocess.DEVNULL,
    )
    return [Told(written / f"{number:03}") for number in range(len(lines))]


def validated(content: object, pointer: str) -> None:
    fastjsonschema.compile({**SCHEMA, "$ref": f"#/definitions/{pointer}"})(content)


@pytest.mark.parametrize("number", range(len(LINES)), ids=lambda n: f"{n}-{leaf_of(LINES[n])}")
def test_a_command_writes_only_json_and_ends_as_without_it(
    number: int, harsh: Sequence[Told]
) -> None:
    found, leaf = harsh[number], leaf_of(LINES[number])

    assert found.code == CODES[number], found.err
    messages = [json.loads(line) for line in found.err.splitlines()]
    for message in messages:
        validated(message, "kinds/error" if "error" in message else "kinds/message")
    assert leaf in ("", *PROGRAMS) or "E1129" in found.err or found.code == "2"
    if leaf == "audit show":
        for line in found.out.splitlines():
            validated(json.loads(line), f"commands/{leaf}")
    elif found.out and leaf not in PROGRAMS:
        validated(json.loads(found.out), f"commands/{leaf}")
    assert found.out or found.code != "0" or leaf in PROGRAMS


@pytest.mark.parametrize("number", range(len(SUCCESSES)), ids=lambda n: leaf_of(SUCCESSES[n]))
def test_a_closed_stdout_is_an_error_in_json(number: int, closed: Sequence[Told]) -> None:
    found = closed[number]

    messages: list[dict[str, Any]] = [json.loads(line) for line in found.err.splitlines()]
    for message in messages:
        validated(message, "kinds/error" if "error" in message else "kinds/message")
    assert found.code == "7"
    assert any("standard output" in message["message"] for message in messages)

"""A hint is made to be pasted: no name of a file in it may be a command of a shell."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import KsmStorageError
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.plugin import Option
from ksm_storage.providers.key_file import key_uri_of, read_key_file, write_key_file

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    [
        *(ROOT / "ksm_storage").rglob("*.py"),
        *ROOT.glob("plugins/*/ksm_storage_*/**/*.py"),
        *(ROOT / "local_vault/ksm_storage_local_vault").rglob("*.py"),
    ]
)

# A word of a command stands before the value; "it lies in {path!r}" is no command.
COMMAND = re.compile(
    r"\b(?:ksm-storage|chmod|chown|chgrp|find|rm|mv|cp|cat|export|setfacl|restorecon|ls|git|pip)\b"
    r"[^\"'{}]*$"
)
OF_FILES = re.compile(r"path|file|folder|target|real|source|where|output")
NAME = "c $(touch pwned) `touch pwned`; touch pwned '\".json"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_in_a_command_of_a_message_is_quoted(path: Path) -> None:
    bare = [
        f"line {line}: {name}"
        for line, before, name in values_in_strings(path)
        if COMMAND.search(before) and OF_FILES.search(name) and "quote" not in name
    ]

    assert not bare, f"quote it with shlex.quote: {', '.join(bare)}"


def values_in_strings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield each value in an f-string, with its line, the text before it and its expression."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        before = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                before += str(part.value)
            elif isinstance(part, ast.FormattedValue) and part.conversion != ord("r"):
                yield node.lineno, before, ast.unparse(part.value)
                before += "X"


def hard_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / NAME
    path.write_text('{"clientId": "C"}')
    os.link(path, folder / "other")
    ksm_storage.protect(path, [key_uri_of(write_key_file(folder / "app.key"))])


def plain_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / NAME).write_text('{"clientId": "C"}')
    ksm_storage.open_storage(folder / NAME)


def key_file_that_others_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_key_file(folder / NAME)
    (folder / NAME).chmod(0o644)
    read_key_file(str(folder / NAME))


def settings_file_that_others_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / NAME).write_text("")
    (folder / NAME).chmod(0o666)
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", str(folder / NAME))
    gather_settings(KeyUri("acme", "k"), [Option("a", "A.")])


@pytest.mark.skipif(os.name != "posix", reason="the shell is POSIX's")
@pytest.mark.parametrize(
    "failing",
    [hard_link, plain_file, key_file_that_others_read, settings_file_that_others_write],
    ids=lambda failing: failing.__name__,
)
def test_a_hint_that_is_pasted_runs_no_command_of_a_file_name(
    failing: Callable[[Path, pytest.MonkeyPatch], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(KsmStorageError) as caught:
        failing(tmp_path, monkeypatch)
    hint = caught.value.hint or ""
    (tmp_path / "here").mkdir()

    # As the command word of a program that does nothing, whatever the hint says around it.
    script = "".join(f"{word}() {{ :; }}\n" for word in ("find", "chmod", "chown", "it", "seal"))
    subprocess.run(["sh", "-c", script + hint], cwd=tmp_path / "here", capture_output=True)

    assert NAME.split("'")[0] in hint.replace("'\"'\"'", "'")
    assert not (tmp_path / "here/pwned").exists()

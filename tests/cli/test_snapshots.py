"""What people see in a terminal of 80 and of 40 columns, with and without colour.

The snapshots are read by people. One that is deleted is written anew by the test. Below a line
with styles stand their marks: ``b`` bold, ``d`` dim, ``u`` underlined, digits for colours.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ksm_storage
from ksm_storage.cli.output import fold
from tests.cli.every_command import LEAVES, LINES, SNAPSHOTS, fill, leaf_of, share

if TYPE_CHECKING:
    from ksm_storage_local_vault.testing import LocalVault

pytest.importorskip("rich")
testing = pytest.importorskip("ksm_storage_local_vault.testing")

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

ROOT = Path(__file__).parents[2]
SETTINGS = """
set -g history-limit 100000
set -g default-terminal tmux-256color
set -g remain-on-exit on
"""
TERMINALS = [(columns, colours) for columns in (80, 40) for colours in ("colour", "plain")]
STYLE = re.compile(r"\x1b\[([0-9;]*)m")
MARKS = {"1": "b", "2": "d", "4": "u", **{f"3{n}": str(n) for n in range(8)}}
MARKED = re.compile(r"^[ bdu0-7]*  <- styles$", re.MULTILINE)
DIGIT = "[0-9]"
# What differs from run to run, as a class for each character, and what the snapshot shows.
VARYING = [
    ([*map(re.escape, "127.0.0.1:"), *[DIGIT] * 5], "127.0.0.1:54321"),
    (
        ["2", "0", *[DIGIT] * 2, "-", *[DIGIT] * 2, "-", *[DIGIT] * 2, "[T ]", *["[0-9:]"] * 8],
        "2026-11-30T12:00:00",
    ),
    (["[0-9a-f]"] * 32, "0123456789abcdef" * 2),
    # A server's public key, and a configuration with keys of its own.
    (["(?<=[= ])B", *["[A-Za-z0-9_-]"] * 86], "B" + "x" * 86),
]
CONFIGURATION = re.compile(r"^ey(?:[A-Za-z0-9+/=]\n?){200,}(?=\nthe client)", re.MULTILINE)


@pytest.fixture(scope="module")
def tmux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Run one tmux server for all terminals; call it with the words of a command."""
    place = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))  # a socket's path is short
    (place / "settings").write_text(SETTINGS)

    def call(*words: str) -> str:
        # UTF-8 whatever the locale is.
        command = ["tmux", "-u", "-S", str(place / "socket"), "-f", str(place / "settings")]
        done = subprocess.run(
            [*command, *words], capture_output=True, text=True, check=True, timeout=50
        )
        return done.stdout

    yield call
    subprocess.run(["tmux", "-S", str(place / "socket"), "kill-server"], check=False)
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with testing.running_vault(tmp_path_factory.mktemp("vault")) as running:
        yield running


@pytest.fixture(scope="module")
def screens(vault: LocalVault, tmux: Callable[..., str]) -> Iterator[Mapping[tuple[int, str], str]]:
    """Run the script in all terminals at the same time; return what each shows."""
    with contextlib.ExitStack() as stack:
        started = {}
        for columns, colours in TERMINALS:
            # A name of the same length each time, so that lines break at the same place; what is
            # left of it where a key is cut does not differ.
            above = Path(tempfile.mkdtemp(prefix="ksm-", dir="/tmp"))
            stack.callback(shutil.rmtree, above)
            folder = above / "configurations-of-a-test"
            folder.mkdir()
            with contextlib.chdir(folder):
                fill(folder)
                known = share(vault, f"{columns}-{colours}")
            start(tmux, folder, columns=columns, colours=colours)
            started[columns, colours] = (folder, known)
        yield {
            (columns, colours): shown(tmux, folder, f"{columns}-{colours}", known)
            for (columns, colours), (folder, known) in started.items()
        }


def start(tmux: Callable[..., str], folder: Path, *, columns: int, colours: str) -> None:
    name = f"{columns}-{colours}"
    variables = {
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "REQUESTS_CA_BUNDLE": str(folder / "ca.pem"),
        **({} if colours == "colour" else {"NO_COLOR": "1"}),
    }
    words = [f"{key}={value}" for key, value in variables.items()]
    run = shlex.join(["TERM=tmux-256color", *words, sys.executable, "-m", "tests.cli.in_terminal"])
    command = f'env -i PANE="${{TMUX%%,*}} {name}" {run}'
    size = ["-x", str(columns), "-y", "50"]
    done = f"{command}; tmux wait-for -S {name}"
    tmux("new-session", "-d", *size, "-s", name, "-c", str(folder), done)


def shown(tmux: Callable[..., str], folder: Path, name: str, made: Mapping[str, str]) -> str:
    """Wait for the end of the script and return the screen, without what differs each time."""
    tmux("wait-for", name)
    text = tmux("capture-pane", "-p", "-e", "-t", name, "-S", "-", "-E", "-")
    text = with_marks(text.partition("\nPane is dead")[0])
    known = {folder.parent.name: "ksm-xxxxxxxx", **made}
    for version in (metadata.version("cryptography"), ksm_storage.__version__):
        known[version] = re.sub(DIGIT, "9", version)
    for classes, placeholder in [
        *((map(re.escape, old), new) for old, new in known.items()),
        *VARYING,
    ]:
        # A line of the terminal may end anywhere within it.
        text = re.sub("\n?".join(classes), functools.partial(replaced, placeholder), text)
    text = CONFIGURATION.sub(lambda found: re.sub("[^\n]", "x", found[0]), text)
    text = re.sub(r"(identity +)\S+", r"\1somebody", text)
    text = re.sub(r"(answered in +)[0-9]+", r"\g<1>0", text)
    text = re.sub(r"^[0-9]{6}$", "123456", text, flags=re.MULTILINE)
    return text.rstrip() + "\n"


def with_marks(text: str) -> str:
    """Write the styles of a line as marks on a line below it."""
    style, lines = "", []
    for line in text.splitlines():
        shown, marks = "", ""
        for part in re.split(r"(\x1b\[[0-9;]*m)", line):
            if found := STYLE.fullmatch(part):
                style = restyled(style, found[1])
            else:
                shown += part
                marks += (style or " ") * len(part)
        lines += [shown, f"{marks.rstrip()}  <- styles"] if marks.strip() else [shown]
    return "\n".join(lines)


def restyled(style: str, parameters: str) -> str:
    for number in parameters.split(";"):
        # A foreground that is set back, 39, leaves bold as it is.
        style = MARKS.get(number, "" if number in ("", "0") else style)
    return style


def replaced(placeholder: str, found: re.Match[str]) -> str:
    characters = iter(placeholder)
    return "".join(each if each == "\n" else next(characters) for each in found[0])


@pytest.mark.parametrize(("columns", "colours"), TERMINALS)
def test_the_output_is_what_the_snapshot_shows(
    columns: int, colours: str, screens: Mapping[tuple[int, str], str]
) -> None:
    place = SNAPSHOTS / f"{columns}.txt"
    text = screens[columns, colours]

    if not place.exists() and colours == "colour":
        place.write_text(text, encoding="utf-8")
    expected = place.read_text(encoding="utf-8")
    # NO_COLOR leaves bold, and no colour but the terminal's own.
    assert text == (expected if colours == "colour" else without_colours(expected))


def without_colours(text: str) -> str:
    marks = MARKED.sub(lambda found: re.sub("[0-7]", " ", found[0]), text)
    return re.sub(r"^ *  <- styles\n", "", marks, flags=re.MULTILINE)


@pytest.mark.parametrize("columns", [80, 40])
def test_no_screen_shows_a_value_as_python_writes_it(columns: int) -> None:
    text = (SNAPSHOTS / f"{columns}.txt").read_text(encoding="utf-8")

    assert re.findall(r"\b(?:True|False|None)\b", text) == []


@pytest.mark.parametrize("columns", [80, 40])
def test_each_command_has_a_snapshot_of_a_success_and_of_a_failure(columns: int) -> None:
    text = (SNAPSHOTS / f"{columns}.txt").read_text(encoding="utf-8")
    codes = re.findall(r"^\[exit ([0-9]+)\]$", text, re.MULTILINE)
    found = {(leaf_of(line), code == "0") for line, code in zip(LINES, codes, strict=True)}

    assert {(leaf, is_success) for leaf in LEAVES for is_success in (True, False)} - found == set()


@pytest.mark.parametrize("width", [40, 80])
def test_a_message_breaks_between_words_and_in_nothing_that_is_copied(width: int) -> None:
    whole = ("ksm-storage doctor 'a file.json'", "'/a path/with spaces'", "key-file:///k")
    line = f"error: the key {whole[2]} of {whole[1]} was not found; to diagnose it: {whole[0]}"

    lines = fold(line, width).splitlines()

    assert " ".join(each.strip() for each in lines) == line
    assert max(map(len, lines)) <= width
    assert [each for each in whole if not any(each in part for part in lines)] == []

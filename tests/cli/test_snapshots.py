"""What people see in a terminal of 80 and of 40 columns, with and without colour.

The snapshots are read by people. One that is deleted is written anew by the test.
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

import click
import pytest

import ksm_storage
from ksm_storage.cli.program import cli
from tests.cli.command import key_file
from tests.cli.sealed_device import bind_device

if TYPE_CHECKING:
    from ksm_storage_local_vault.testing import LocalVault

pytest.importorskip("rich")
testing = pytest.importorskip("ksm_storage_local_vault.testing")

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.xdist_group("snapshots"),
]

ROOT = Path(__file__).parents[2]
SNAPSHOTS = Path(__file__).with_name("snapshots")
CONFIG = '{"clientId": "CID", "appKey": "APP", "hostname": "keepersecurity.eu"}'
SETTINGS = """
set -g history-limit 100000
set -g default-terminal tmux-256color
set -g remain-on-exit on
"""
SCRIPT = (SNAPSHOTS / "script").read_text(encoding="utf-8")
TERMINALS = [(columns, colours) for columns in (80, 40) for colours in ("colour", "plain")]
COLOUR = re.compile(r"␛\[(?:[34][0-8]|9[0-7]|10[0-7])(?:;[0-9]+)*m")
DIGIT = "[0-9]"
# What differs from run to run, as a class for each character, and what the snapshot shows.
VARYING = [
    ([*map(re.escape, "127.0.0.1:"), *[DIGIT] * 5], "127.0.0.1:54321"),
    (
        ["2", "0", *[DIGIT] * 2, "-", *[DIGIT] * 2, "-", *[DIGIT] * 2, "[T ]", *["[0-9:]"] * 8],
        "2026-11-30T12:00:00",
    ),
    (["[0-9a-f]"] * 32, "0123456789abcdef" * 2),
]


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
    access = pytest.importorskip("ksm_storage_local_vault.owner.access")
    with testing.running_vault(tmp_path_factory.mktemp("vault")) as running:
        with running.owner() as owner:
            access.create_application(owner, testing.APP_NAME)
        yield running


@pytest.fixture(scope="module")
def bound(vault: LocalVault, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bind_device(vault, tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="module")
def screens(
    vault: LocalVault, bound: Path, tmux: Callable[..., str]
) -> Iterator[Mapping[tuple[int, str], str]]:
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
                fill(folder, vault, bound)
            start(tmux, folder, columns=columns, colours=colours)
            started[columns, colours] = folder
        yield {
            (columns, colours): shown(tmux, folder, f"{columns}-{colours}")
            for (columns, colours), folder in started.items()
        }


def fill(folder: Path, vault: LocalVault, bound: Path) -> None:
    """Write the files that the script names into the current folder."""
    for name in ("plain.json", "more.json", "c.json", "d.json", "locked.json"):
        Path(name).write_text(CONFIG)
    Path("profiles.json").write_text(ini("prod") + ini("stage"))
    Path("keeper.ini").write_text(ini("moved"))
    Path("template").write_text("url = {{ keeper://no such record/field/password }}\n")
    Path("value").write_text("keepersecurity.com")
    Path("script").write_text(SCRIPT)
    for name in ("c.json", "d.json", "profiles.json"):
        ksm_storage.protect(name, [key_in(folder, "app")])
    ksm_storage.protect("locked.json", [key_in(folder, "gone")])
    Path("gone.key").unlink()
    shutil.copy2(bound, "bound.json")
    shutil.copy2(vault.ca_file, "ca.pem")
    shutil.copy2(SNAPSHOTS / "audit.log", "audit.log")


def ini(name: str) -> str:
    return f"[{name}]\nclientid = CID\nappkey = APP\nhostname = keepersecurity.eu\n"


def key_in(place: Path, name: str) -> str:
    key_file(place)
    if name != "app":
        shutil.copy2(place / "app.key", place / f"{name}.key")
    return f"key-file://{place}/{name}.key"


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
    kept = "TERM=tmux-256color"
    command = shlex.join(["env", "-i", kept, *words, sys.executable, "-m", "tests.cli.in_terminal"])
    size = ["-x", str(columns), "-y", "50"]
    done = f"{command}; tmux wait-for -S {name}"
    tmux("new-session", "-d", *size, "-s", name, "-c", str(folder), done)


def shown(tmux: Callable[..., str], folder: Path, name: str) -> str:
    """Wait for the end of the script and return the screen, without what differs each time."""
    tmux("wait-for", name)
    text = tmux("capture-pane", "-p", "-e", "-t", name, "-S", "-", "-E", "-").replace("\x1b", "␛")
    text = text.partition("\nPane is dead")[0]
    versions = f"{ksm_storage.__version__}, cryptography {metadata.version('cryptography')}"
    known = [(folder.parent.name, "ksm-xxxxxxxx"), (versions, re.sub(DIGIT, "9", versions))]
    for classes, placeholder in [*((map(re.escape, old), new) for old, new in known), *VARYING]:
        # A line of the terminal may end anywhere within it.
        text = re.sub("\n?".join(classes), functools.partial(replaced, placeholder), text)
    text = re.sub(r"(identity +)\S+", r"\1somebody", text)
    return text.rstrip() + "\n"


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
    assert text == (expected if colours == "colour" else COLOUR.sub("", expected))
    assert colours == "colour" or not COLOUR.search(text)


@pytest.mark.parametrize("columns", [80, 40])
def test_no_screen_shows_a_value_as_python_writes_it(columns: int) -> None:
    text = (SNAPSHOTS / f"{columns}.txt").read_text(encoding="utf-8")

    assert re.findall(r"\b(?:True|False|None)\b", text) == []


def test_each_command_has_a_snapshot() -> None:
    first = {line.split()[0] for line in SCRIPT.splitlines()}

    assert set(cli.list_commands(click.Context(cli))) <= first

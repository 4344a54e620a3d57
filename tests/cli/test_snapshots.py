"""What people see on a terminal of 80 columns with colour, and of 40 columns without.

The snapshots are read by people. One that is deleted is written anew by the test.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

import ksm_storage
from tests.cli.command import COMMAND, key_file

pytest.importorskip("rich")

# A progress bar, from where it hides the cursor to where it has erased itself.
BAR = re.compile(r"\x1b\[\?25l.*?\x1b\[\?25h\x1b\[1A\x1b\[2K", re.DOTALL)
SNAPSHOTS = Path(__file__).with_name("snapshots")
CONFIG = '{"clientId": "CID", "appKey": "APP", "hostname": "keepersecurity.eu"}'
SCRIPT = (
    "check c.json",
    "check c.json missing-1.json missing-2.json missing-3.json",
    "protect plain.json --key KEY",
    "rekey c.json plain.json",
    "get c.json appKey",
    "check locked.json",
    "profile list profiles.json",
    "chek c.json",
)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Its name has the same length each time, so that lines break at the same place.
    place = Path(tempfile.mkdtemp(prefix="ksm-", dir="/tmp"))
    monkeypatch.chdir(place)
    Path("plain.json").write_text(CONFIG)
    Path("profiles.json").write_text(ini("prod") + ini("stage"))
    for name in ("c.json", "locked.json", "profiles.json"):
        if name != "profiles.json":
            Path(name).write_text(CONFIG)
        key = key_of(place) if name != "locked.json" else other_key(place)
        ksm_storage.protect(name, [key])
    Path("other.key").unlink()
    yield place
    shutil.rmtree(place)


def ini(name: str) -> str:
    return f"[{name}]\nclientid = CID\nappkey = APP\nhostname = keepersecurity.eu\n"


def key_of(place: Path) -> str:
    # What is left of its name where it is cut does not depend on where the test runs.
    (place / "keys").mkdir(exist_ok=True)
    return key_file(place / "keys")


def other_key(place: Path) -> str:
    (place / "other").mkdir()
    uri = key_file(place / "other")
    (place / "other" / "app.key").rename(place / "other.key")
    return uri.replace("other/app.key", "other.key")


def seen(folder: Path, *, columns: int, colour: bool) -> str:
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    environment |= {} if colour else {"NO_COLOR": "1"}
    shown = []
    for line in SCRIPT:
        words = [key_of(folder) if word == "KEY" else word for word in line.split()]
        child = pexpect.spawn(
            COMMAND,
            words,
            encoding="utf-8",
            timeout=30,
            dimensions=(24, columns),
            env=environment,
        )
        text = (child.expect(pexpect.EOF) == 0 and child.before) or ""
        child.close()
        text = BAR.sub("", text.replace("\r\n", "\n").replace("\r", "")).replace("\x1b", "␛")
        shown.append(f"$ ksm-storage {line}\n{text}[exit {child.exitstatus}]\n")
    return "\n".join(shown).replace(folder.name, "ksm-xxxxxxxx")


@pytest.mark.parametrize(
    ("columns", "colour"), [(80, True), (40, False)], ids=["80-colour", "40-plain"]
)
def test_the_output_is_what_the_snapshot_shows(columns: int, colour: bool, folder: Path) -> None:
    place = SNAPSHOTS / f"{columns}-{'colour' if colour else 'plain'}.txt"

    text = seen(folder, columns=columns, colour=colour)

    if not place.exists():
        place.write_text(text, encoding="utf-8")
    assert text == place.read_text(encoding="utf-8")
    assert colour or not re.search(r"␛\[[0-9;]*[34][0-9]", text)

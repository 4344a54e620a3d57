"""Prompts and tables, through a real pseudo-terminal."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pexpect
import pytest

import ksm_storage
from tests.cli.command import COMMAND, key_file, run


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "c.json"
    path.write_text(
        json.dumps({"clientId": "CID", "appKey": "APP", "hostname": "keepersecurity.eu"})
    )
    ksm_storage.protect(path, [key_file(tmp_path)])
    return path


def test_a_value_is_asked_for_and_not_echoed(sealed: Path) -> None:
    child = pexpect.spawn(COMMAND, ["set", str(sealed), "appKey"], encoding="utf-8", timeout=20)

    child.expect("appKey: ")
    child.sendline("TYPED-SECRET")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0
    assert "TYPED-SECRET" not in (child.before or "")
    assert run("get", str(sealed), "appKey", "--reveal").stdout == "TYPED-SECRET\n"


def test_an_interrupt_at_the_prompt_changes_nothing(sealed: Path) -> None:
    before = sealed.read_bytes()
    child = pexpect.spawn(COMMAND, ["set", str(sealed), "appKey"], encoding="utf-8", timeout=20)

    child.expect("appKey: ")
    child.sendintr()
    child.expect("error: interrupted")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 130
    assert sealed.read_bytes() == before


# A command of its own process, whose key service asks for a PIN in the thread that calls it, or
# which asks itself.
PROMPTS = """
import getpass, sys
from ksm_storage.cli.sealed_file import SealedFile
from ksm_storage.cli.main import main
from ksm_storage.keys.kek import Kek

def ask(*_, **__):
    return getpass.getpass("PIN: ").encode()

if sys.argv.pop(1) == "service":
    Kek.unwrap = ask
else:
    SealedFile.open = ask
sys.exit(main())
"""


@pytest.mark.parametrize("json_option", ["", "--json"])
@pytest.mark.parametrize(
    ("who", "command"),
    [("service", "get {} hostname"), ("service", "check {}"), ("itself", "get {} hostname")],
)
def test_a_timeout_at_a_prompt_leaves_the_terminal_as_it_was(
    who: str, command: str, json_option: str, sealed: Path, tmp_path: Path
) -> None:
    script = tmp_path / "prompts.py"
    script.write_text(PROMPTS)
    line = f"{sys.executable} {script} {who} {command.format(sealed)} --timeout 0.5 {json_option}"
    child = pexpect.spawn(
        "/bin/sh", ["-c", f"{line}; echo code $?; stty -a"], encoding="utf-8", timeout=20
    )

    child.expect("PIN: ")
    child.send("half of a PI")
    child.expect("--timeout")
    child.expect("code 5")
    child.expect(pexpect.EOF)

    assert " echo " in (child.before or "")


def test_a_table_is_drawn_on_a_terminal_only(sealed: Path) -> None:
    child = pexpect.spawn(COMMAND, ["providers"], encoding="utf-8", timeout=20)
    child.expect(pexpect.EOF)

    assert "┃" in (child.before or "")
    assert "┃" not in run("providers").stdout


def test_a_reader_that_leaves_early_causes_no_complaint() -> None:
    child = pexpect.spawn(
        "/bin/sh", ["-c", f"{COMMAND} completion bash | true; echo done"], encoding="utf-8"
    )
    child.expect(pexpect.EOF, timeout=20)

    assert (child.before or "").strip() == "done"


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads /proc")
def test_exec_takes_the_place_of_the_process(sealed: Path) -> None:
    script = "import os; print(os.getpid(), os.environ['KSM_CONFIG'][:4])"
    child = pexpect.spawn(
        COMMAND,
        ["exec", str(sealed), "--", sys.executable, "-c", script],
        encoding="utf-8",
        timeout=20,
    )
    child.expect(pexpect.EOF)

    assert (child.before or "").split()[0] == str(child.pid)
    assert os.environ.get("KSM_CONFIG") is None

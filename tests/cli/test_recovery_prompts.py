"""The recovery secret is asked for at a terminal, is not echoed, and stands on no command line."""

from __future__ import annotations

import json
from pathlib import Path

import pexpect
import pytest

import ksm_storage
from tests.cli.command import COMMAND, key_file, run


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"clientId": "CID", "hostname": "keepersecurity.eu"}))
    ksm_storage.protect(path, [key_file(tmp_path)])
    return path


def test_the_words_are_asked_for_and_not_echoed(sealed: Path) -> None:
    made = json.loads(run("recovery", "create", "office", "--reveal", "--json").stdout)
    run("rewrap", str(sealed), "--add-key", made["key"])
    child = pexpect.spawn(
        COMMAND, ["recovery", "test", str(sealed)], encoding="utf-8", timeout=20, echo=True
    )

    child.expect("recovery words: ")
    child.sendline(" ".join(made["words"]))
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0
    assert "ok " in (child.before or "")
    assert made["words"][0] not in (child.before or "").split()


def test_shares_are_asked_for_until_there_are_enough(sealed: Path) -> None:
    created = run("recovery", "create", "board", "--shares", "2/3", "--reveal", "--json")
    made = json.loads(created.stdout)
    run("rewrap", str(sealed), "--add-key", made["key"])
    child = pexpect.spawn(
        COMMAND, ["recovery", "test", str(sealed)], encoding="utf-8", timeout=20, echo=True
    )

    child.expect("recovery words: ")
    child.sendline(" ".join(made["shares"][2]))
    child.expect("words of another share, 1 more needed: ")
    child.sendline(" ".join(made["shares"][0]))
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0
    assert "revision 2 by recovery://board/" in (child.before or "")
    assert len(made["shares"]) == 3
    assert not {*made["shares"][0][3:]} & {*(child.before or "").split()}


def test_a_new_passphrase_is_asked_for_twice(tmp_path: Path) -> None:
    file = tmp_path / "office.recovery"
    child = pexpect.spawn(
        COMMAND,
        ["recovery", "create", "office", "--file", str(file)],
        encoding="utf-8",
        timeout=20,
    )

    for prompt in ("passphrase: ", "[Rr]epeat"):
        child.expect(prompt)
        child.sendline("TYPED-passphrase")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0
    assert "TYPED-passphrase" not in (child.before or "")
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("command", ["create", "test", "use"])
def test_no_option_takes_a_secret(command: str) -> None:
    text = run("recovery", command, "--help").stdout

    options = {word for word in text.split() if word.startswith("--")}
    assert options
    assert not options & {"--words", "--passphrase", "--secret", "--share"}


@pytest.mark.parametrize("option", ["--words-file", "--passphrase-file", "--recovery-file"])
def test_a_secret_in_the_place_of_its_file_is_not_repeated(sealed: Path, option: str) -> None:
    given = ("--recovery-file", str(sealed)) if option == "--passphrase-file" else ()
    result = run("recovery", "test", str(sealed), *given, option, "legal winner thank year")

    assert result.returncode == 2
    assert "winner" not in result.stdout + result.stderr

"""``protect`` without ``--key``: the OS keyring where there is one, else advice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.command import COMMAND, run
from tests.secret_service_daemon import KeyringDaemon


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "c.json"
    path.write_text('{"clientId": "CID", "hostname": "keepersecurity.eu"}')
    return path


def test_the_os_keyring_holds_the_key_where_it_can(
    plain: Path, secret_service: KeyringDaemon
) -> None:
    done = run("protect", str(plain))

    assert done.returncode == 0, done.stderr
    assert "under os-keyring://default" in done.stderr
    assert b"CID" not in plain.read_bytes()
    assert run("get", str(plain), "clientId", "--reveal").stdout == "CID\n"


def test_a_locked_keyring_is_an_error_and_no_prompt(
    plain: Path, secret_service: KeyringDaemon
) -> None:
    run("protect", str(plain))
    secret_service.lock()

    # A prompt would wait for ever: no standard input, no terminal, and a time limit.
    done = subprocess.run(
        [COMMAND, "check", str(plain)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.returncode in (4, 5)
    assert done.stderr.startswith("error: ")
    assert "hint: " in done.stderr


def test_without_a_keyring_the_user_is_told_what_to_choose(plain: Path) -> None:
    before = plain.read_bytes()

    done = run("protect", str(plain))

    assert done.returncode == 2
    assert "ksm-storage keygen" in done.stderr
    assert plain.read_bytes() == before

"""``protect`` without ``--key``: the OS keyring where there is one, else advice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ksm_storage.cli.main import main
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
    assert "note: os-keyring://default will be created" in done.stderr
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


def test_a_key_that_exists_is_used_without_a_note(
    plain: Path, tmp_path: Path, secret_service: KeyringDaemon
) -> None:
    run("protect", str(plain))
    (tmp_path / "second.json").write_text('{"clientId": "CID"}')

    done = run("protect", str(tmp_path / "second.json"))

    assert done.stderr == f"sealed {tmp_path}/second.json under os-keyring://default\n"


def locked(secret_service: KeyringDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_service.lock()


def without_service(secret_service: KeyringDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")


def without_package(secret_service: KeyringDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.delitem(sys.modules, "keyring.backends.SecretService", raising=False)


@pytest.mark.parametrize(
    ("trouble", "reason", "cure"),
    [
        (locked, "is locked", "confirm the dialog that unlocks it; or create a key"),
        (without_service, "no usable OS keyring", "start a desktop session or its keyring service"),
        (without_package, "needs the package 'keyring', which is not installed", "pip install"),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_why_the_keyring_is_not_usable_is_said_with_its_cure(
    plain: Path,
    secret_service: KeyringDaemon,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    trouble: Callable[[KeyringDaemon, pytest.MonkeyPatch], None],
    reason: str,
    cure: str,
) -> None:
    before = plain.read_bytes()
    trouble(secret_service, monkeypatch)

    code = main(["protect", str(plain)])

    said = capfd.readouterr().err
    assert code == 2
    assert "error: no --key given, and the default key is not usable: " in said
    assert reason in said
    assert cure in said
    assert "ksm-storage keygen" in said
    assert plain.read_bytes() == before


def test_without_a_keyring_the_user_is_told_what_to_choose(plain: Path) -> None:
    before = plain.read_bytes()

    done = run("protect", str(plain))

    assert done.returncode == 2
    assert "ksm-storage keygen" in done.stderr
    assert plain.read_bytes() == before

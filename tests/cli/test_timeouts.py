"""``--timeout`` bounds every command that may wait, and a stop says what is stored."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.cli.pages import all_commands
from ksm_storage.doctor.examination import examine_key, open_examined
from ksm_storage.doctor.finding import KeyFinding
from ksm_storage.wire.base64_forms import to_base64, to_url_safe
from tests.cli.command import COMMAND, key_file

# They ask no key service and no Keeper server, and open no file.
UNBOUNDED = {
    "audit show": "reads a local log",
    "audit verify": "reads a local log",
    "completion": "prints a script",
    "inspect": "reads a header",
    "keygen": "writes 32 bytes",
    "providers": "lists what is installed",
    "recovery create": "computes a key",
    "scan": "reads local files",
    "schema": "prints a page",
}
SERVER_OF_THIS_MACHINE = "vault "


def test_every_command_that_may_wait_takes_a_timeout() -> None:
    without = {
        name
        for context in all_commands()
        if not hasattr(context.command, "commands")
        and not any("--timeout" in each.opts for each in context.command.params)
        and not (name := context.command_path.partition(" ")[2]).startswith(SERVER_OF_THIS_MACHINE)
    }

    assert without == set(UNBOUNDED)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
@pytest.mark.parametrize(
    "arguments",
    [["get", "c.json", "hostname"], ["protect", "plain.json"], ["doctor"]],
    ids=" ".join,
)
def test_what_is_no_time_is_refused_by_each_command_alike(
    arguments: list[str],
    seconds: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ksm_storage.open_storage("c.json", keys=[key_file(tmp_path)]).set("hostname", "h")

    code = main([*arguments, "--timeout", seconds])

    refused = f"error: the timeout must be a positive number of seconds, not {float(seconds)}\n"
    assert (code, capsys.readouterr().err) == (2, refused)


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """Listen on a port and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)
        yield listening


@pytest.fixture
def token() -> str:
    return to_url_safe(secrets.token_bytes(32))


def started(arguments: list[str], token: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KSM_TOKEN": token},
    )


def init_at(server: socket.socket, path: Path) -> list[str]:
    host = f"localhost:{server.getsockname()[1]}"
    return ["init", str(path), "--key", key_file(path.parent), "--hostname", host]


@pytest.mark.parametrize("interrupts", [1, 2])
def test_an_interrupted_bind_says_how_to_resume_it(
    interrupts: int, silent_server: socket.socket, token: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.json"
    child = started(init_at(silent_server, path), token)

    connection, _ = silent_server.accept()
    with connection:
        for _ in range(interrupts):
            child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=30)

    assert child.returncode == 130
    assert f"hint: the token may be spent, and {path} has all that the bind needs" in said
    assert "run the same command with the same token again" in said
    assert ksm_storage.open_storage(path).contains("clientKey")
    assert token not in said


def test_a_bind_that_is_out_of_time_says_what_to_do_with_the_token(
    silent_server: socket.socket, token: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.json"
    child = started([*init_at(silent_server, path), "--timeout", "1"], token)

    _, said = child.communicate(timeout=30)

    assert child.returncode == 5
    assert "error: did not finish within the 1 s of --timeout" in said
    # Which of the two hints depends on how far it came.
    assert "run the same command with the same token again" in said


def test_an_interrupted_rotation_says_how_to_resume_it(
    silent_server: socket.socket, token: str, tmp_path: Path
) -> None:
    path, host = tmp_path / "c.json", f"localhost:{silent_server.getsockname()[1]}"
    config = {
        "clientId": to_base64(bytes(64)),
        "appKey": to_base64(bytes(32)),
        "privateKey": to_base64(bytes(8)),
        "hostname": host,
    }
    storage = ksm_storage.open_storage(path, keys=[key_file(tmp_path)])
    storage.save_storage(config)
    child = started(["device", "rotate", str(path), "--timeout", "60"], token)

    connection, _ = silent_server.accept()
    with connection:
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=30)

    assert child.returncode == 130
    assert f"hint: {path} works with the old or the new device, and the token may be" in said
    assert "run the same command without a token" in said
    assert ksm_storage.open_storage(path).get("clientId") == config["clientId"]


def test_doctor_reports_the_others_when_a_service_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    silent, key = "aws-kms://alias/silent", key_file(tmp_path)
    released = threading.Event()

    def examined(uri: Any, settings: Mapping[str, Any], **purpose: Any) -> KeyFinding:
        if str(uri) == silent:
            released.wait(30)
        return examine_key(uri, settings, **purpose)

    monkeypatch.setattr("ksm_storage.cli.doctor.examine_key", examined)
    try:
        code = main(["doctor", "--examine", silent, "--examine", key, "--timeout", "0.5"])
    finally:
        released.set()

    out = capsys.readouterr().out
    assert code == 5
    assert "aws-kms did not answer within the 0.5 s of --timeout" in out
    assert key in out


def test_doctor_reports_a_file_that_does_not_open_in_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, released = tmp_path / "c.json", threading.Event()
    ksm_storage.open_storage(path, keys=[key_file(tmp_path)]).save_storage({"clientId": "CID"})

    def opened(*given: Any) -> Any:
        released.wait(30)
        return open_examined(*given)

    monkeypatch.setattr("ksm_storage.cli.doctor.open_examined", opened)
    try:
        code = main(["doctor", str(path), "--timeout", "0.5"])
    finally:
        released.set()

    out = capsys.readouterr().out
    assert code == 5
    assert "did not open within the 0.5 s of --timeout" in out
    assert "permission   read to open: granted" in out

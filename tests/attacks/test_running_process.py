"""What others can read of a process that runs: its command line, environment, logs and errors."""

from __future__ import annotations

import base64
import io
import json
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.cli.program import cli
from ksm_storage.envelope.codec import decode
from ksm_storage.envelope.opening import open_envelope
from ksm_storage.errors import KsmStorageError
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from tests.attacks.claims import the_attacker
from tests.cli.command import COMMAND
from tests.unit.storage.fixtures import CONFIG, settle

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Opens, saves, starts a child as an application may, and waits until it is told to end.
APPLICATION = """
import subprocess, sys, ksm_storage
storage = ksm_storage.open_storage(sys.argv[1])
storage.set("url", "u")
ksm_storage.rekey(sys.argv[1])
storage.get("hostname")
child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.readline()
child.communicate()
"""


def secrets_of(sealed: Path, key: str) -> list[bytes]:
    """Return the forms in which a value, the DEK or the KEK could be seen."""
    dek = open_envelope(decode(sealed.read_bytes())).dek
    kek = Path(key.partition("://")[2]).read_bytes()
    raw = [dek, kek, *(CONFIG[name].encode() for name in ("clientId", "privateKey", "appKey"))]
    encoded = [base64.b64encode(secret)[:-4] for secret in raw]
    return [*raw, *encoded, *(secret.hex().encode() for secret in raw)]


def seen_of(process: int) -> bytes:
    """Return the command line and the environment of a process, as others see them."""
    folder = Path(f"/proc/{process}")
    return (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()


def seen_when_it_is(program: bytes, process: int) -> bytes:
    """Return what is seen of a process as soon as it has become a certain program."""
    deadline = time.monotonic() + 40
    while not (seen := seen_of(process)).startswith(program):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return seen


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends, which ends its input."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        yield process
    finally:
        process.communicate(timeout=60)


@the_attacker("reads the command line or the environment of a running process")
@linux_only
def test_an_application_and_its_children_show_no_secret(sealed: Path, key: str) -> None:
    with running(sys.executable, "-c", APPLICATION, str(sealed)) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        seen = seen_of(process.pid) + seen_when_it_is(b"cat\0", child)

    assert seen.count(b"cat\0") == 1
    assert [secret for secret in secrets_of(sealed, key) if secret in seen] == []


@the_attacker("reads the command line or the environment of a running process")
@linux_only
@pytest.mark.parametrize("command", [["set", "PATH", "appKey"], ["init", "NEW", "--key", "KEY"]])
def test_a_command_that_waits_for_a_secret_shows_none(
    command: list[str], sealed: Path, folder: Path, key: str
) -> None:
    places = {"PATH": str(sealed), "NEW": str(folder / "new"), "KEY": key}
    with running(COMMAND, *(places.get(word, word) for word in command)) as process:
        _until_it_runs(process.pid)
        seen = seen_of(process.pid)

    assert command[0].encode() in seen
    assert [secret for secret in secrets_of(sealed, key) if secret in seen] == []


@the_attacker("reads the command line or the environment of a running process")
@linux_only
def test_a_program_run_by_exec_has_the_configuration_in_one_variable_and_no_key(
    sealed: Path, key: str
) -> None:
    with running(COMMAND, "exec", str(sealed), "--", "cat") as process:
        seen_when_it_is(b"cat\0", process.pid)
        variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")

    others = b"\0".join(line for line in variables if not line.startswith(b"KSM_CONFIG="))
    (config,) = (line for line in variables if line.startswith(b"KSM_CONFIG="))
    dek, kek, *_ = secrets_of(sealed, key)
    assert [secret for secret in secrets_of(sealed, key) if secret in others] == []
    assert CONFIG["appKey"].encode() in base64.b64decode(config.partition(b"=")[2])
    assert dek not in base64.b64decode(config.partition(b"=")[2])
    assert kek not in base64.b64decode(config.partition(b"=")[2])


@the_attacker("reads logs, exception texts, `repr`, command lines")
def test_logs_errors_and_representations_show_no_secret(sealed: Path, key: str) -> None:
    text = io.StringIO()
    handler, root = logging.StreamHandler(text), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    try:
        said = _said_while_used(sealed)
    finally:
        root.setLevel(level)
        root.removeHandler(handler)

    shown = (said + text.getvalue()).encode()

    assert len(shown) > 1000
    assert [secret for secret in secrets_of(sealed, key) if secret in shown] == []


def _said_while_used(sealed: Path) -> str:
    storage = ksm_storage.open_storage(sealed)
    said = [repr(storage), repr(vars(storage))]
    storage.set("url", "u")
    whole = sealed.read_bytes()
    for damaged in (b"", b"rubbish", whole[:-9], whole.replace(b"revision: 2", b"revision: 3")):
        sealed.write_bytes(damaged)
        said.append(_refusal(storage))
    sealed.write_bytes(whole)
    settle(sealed)
    said.append(repr(vars(storage)))
    return "\n".join(said)


def _refusal(storage: EncryptedStorage) -> str:
    try:
        storage.get("hostname")
    except KsmStorageError as exc:
        return "".join(traceback.format_exception(exc)) + repr(exc) + str(exc.as_dict())
    return ""


def _until_it_runs(process: int) -> None:
    # The limit for core files is the first thing that a command changes.
    deadline = time.monotonic() + 40
    while "Max core file size        1 " not in Path(f"/proc/{process}/limits").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def commands(group: click.Group, *before: str) -> Iterator[list[str]]:
    """Yield the words that call each command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        elif command is not None:
            yield [*before, name]


@the_attacker(
    "reads the terminal or the log of a job in which a secret was pasted as a path, key, name or "
    "option"
)
def test_no_command_repeats_what_was_pasted_into_its_arguments(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = json.dumps(CONFIG, indent=1)
    lines = base64.encodebytes(config.encode()).decode()

    for words in commands(cli):
        for secret in (config, lines):
            # Too many words, and an option that nobody has: nothing is done.
            main([*words, *[secret] * 5, f"--{secret}"])
            main([*words, f"--timeout={secret}", "--no-such-option"])
        said = capfd.readouterr()
        shown = said.out + said.err
        assert shown
        for part in {*lines.split(), CONFIG["privateKey"], CONFIG["appKey"]}:
            assert part not in shown, words
    assert list(tmp_path.iterdir()) == []

"""Helpers and prompts of an SDK get neither our standard input nor our terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ksm_storage.plugin import (
    DeadlinePassedError,
    HelperNotFoundError,
    deadline_of,
    start_helper,
)

READING = "import sys; print(repr(sys.stdin.read()))"
SESSION = "import os; print(os.getsid(0) == os.getpid())"


def test_a_helper_has_nothing_to_read() -> None:
    helper = start_helper([sys.executable, "-c", READING], stdout=subprocess.PIPE)

    assert helper.communicate()[0].strip() == b"''"


def test_off_a_terminal_a_helper_is_in_a_session_of_its_own() -> None:
    helper = start_helper([sys.executable, "-c", SESSION], stdout=subprocess.PIPE)

    assert helper.communicate()[0].strip() == b"True"


@pytest.mark.parametrize("command", [["/no/such/helper", "--token", "hunter2"], []])
def test_a_helper_that_is_not_there_is_an_error_that_repeats_nothing(command: list[str]) -> None:
    with pytest.raises(HelperNotFoundError) as caught:
        start_helper(command)

    assert caught.value.args == ()
    assert caught.value.__context__ is None


def test_a_helper_that_hangs_is_killed_at_the_deadline() -> None:
    helper = start_helper(["sleep", "60"], stdout=subprocess.PIPE)
    started = time.monotonic()

    with deadline_of(0.3), pytest.raises(DeadlinePassedError):
        helper.communicate()

    assert time.monotonic() - started < 5
    assert helper.wait(5) != 0


ASKING = """
from ksm_storage.errors import AuthenticationError
from ksm_storage.plugin import ask_person, deadline_of, within_deadline
try:
    with deadline_of(5):
        print("code:", within_deadline(lambda: ask_person("MFA code: ")))
except AuthenticationError as exc:
    print("refused:", exc)
"""


def test_off_a_terminal_nobody_is_asked() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ASKING], input=b"secret\n", capture_output=True, timeout=30
    )

    assert ran.stdout.startswith(b"refused: ")
    assert b"secret" not in ran.stdout


def test_at_a_terminal_a_person_is_asked_there_and_not_on_standard_output(tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    child, terminal = pty.fork()
    if child == 0:
        with printed.open("wb") as output:
            os.dup2(output.fileno(), 1)
            os.execv(sys.executable, [sys.executable, "-c", ASKING])
    shown = b""
    while b"MFA code: " not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, b"123456\n")

    assert os.waitpid(child, 0)[1] == 0
    assert printed.read_bytes() == b"code: 123456\n"
    os.close(terminal)

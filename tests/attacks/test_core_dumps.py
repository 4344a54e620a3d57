"""A crash while a DEK or a payload is decrypted leaves no core file; real processes that crash."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.claims import the_attacker
from tests.cli.command import COMMAND

if sys.platform != "linux":
    pytest.skip("reads how a process ended as Linux tells it", allow_module_level=True)

import resource

HARD = resource.getrlimit(resource.RLIMIT_CORE)[1]

# The process aborts inside the interpreter's own open of a certain file, as a native library of a
# key service may: at the envelope nothing is decrypted yet, at the key file the unwrap runs.
PROGRAM = """
import os, sys, ksm_storage
path, crash_at = sys.argv[1:]
def hook(event, arguments):
    if event == "open" and arguments[0] == crash_at:
        os.abort()
sys.addaudithook(hook)
ksm_storage.open_storage(path).get("hostname")
"""


@pytest.fixture(autouse=True)
def core_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the processes of a test write core files, into its own folder."""
    saved = resource.getrlimit(resource.RLIMIT_CORE)
    monkeypatch.chdir(tmp_path)
    resource.setrlimit(resource.RLIMIT_CORE, (HARD, HARD))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, saved)


def ended(process: subprocess.Popen[bytes]) -> int:
    """Return how a process ended, before it is reaped: ``CLD_DUMPED`` if it left a core file."""
    result = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert result is not None
    process.communicate(timeout=30)
    return result.si_code


def crashed(sealed: Path, crash_at: str) -> int:
    """Crash while a certain file is opened, and return how the process ended."""
    command = [sys.executable, "-c", PROGRAM, str(sealed), crash_at]
    return ended(subprocess.Popen(command, stderr=subprocess.PIPE))


@the_attacker("makes the process crash while it decrypts")
def test_a_crash_inside_an_unwrap_leaves_no_core_file(
    sealed: Path, key: str, tmp_path: Path
) -> None:
    if crashed(sealed, str(sealed)) != os.CLD_DUMPED:
        pytest.skip("this machine writes no core files")
    for core in tmp_path.glob("core*"):
        core.unlink()

    assert crashed(sealed, key.partition("://")[2]) == os.CLD_KILLED
    assert list(tmp_path.glob("core*")) == []


@the_attacker("makes the process crash while it decrypts")
def test_a_command_leaves_no_core_file_at_any_time(sealed: Path) -> None:
    process = subprocess.Popen(
        [COMMAND, "set", str(sealed), "hostname"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _until_its_limit_is_lowered(process.pid)
    process.send_signal(signal.SIGABRT)

    assert ended(process) == os.CLD_KILLED


def test_exec_gives_the_program_the_limit_that_it_would_have_had(sealed: Path) -> None:
    program = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"

    done = subprocess.run(
        [COMMAND, "exec", str(sealed), "--", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == f"{(HARD, HARD)}\n"


def _until_its_limit_is_lowered(process: int) -> None:
    deadline = time.monotonic() + 40
    while not re.search(r"^Max core file size +1 ", _limits(process), re.MULTILINE):
        assert time.monotonic() < deadline, "the command never lowered its limit"
        time.sleep(0.01)


def _limits(process: int) -> str:
    return Path(f"/proc/{process}/limits").read_text()

"""Run a piece of a test in a forked process, which may be killed or be another user."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

NOBODY = 65_534
KILLED = 70

_CLONE_NEWNS = 0x0002_0000

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def start(work: Callable[[], object]) -> int:
    """Start the work in a forked process and return its id."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        # The child of a test must not run pytest's own end.
        os._exit(status)


def status_of(process: int) -> int:
    """Wait for a process and return its exit status; a negative one is a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def run(work: Callable[[], object]) -> int:
    """Run the work in a forked process and return the exit status, 0 if it did not raise."""
    return status_of(start(work))


def run_as_nobody(work: Callable[[], object]) -> int:
    """Run the work as a user without any rights; as the caller itself if that is not root."""

    def demoted() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        # The home of the test is closed to this user.
        os.environ["KSM_STORAGE_SETTINGS"] = os.devnull
        work()

    return run(demoted)


def run_with_mount(arguments: list[str], work: Callable[[], object]) -> int:
    """Run the work where something is mounted that no other process sees; skip if not allowed."""

    def mounted() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNS) != 0:
            os._exit(_NOT_ALLOWED)
        private = ["mount", "--make-rprivate", "/"]
        for command in (private, ["mount", *arguments]):
            if subprocess.run(command, capture_output=True, check=False).returncode:
                os._exit(_NOT_ALLOWED)
        work()

    status = run(mounted)
    if status == _NOT_ALLOWED:
        pytest.skip("this user or container may not mount")
    return status


def give_to_nobody(*paths: Path) -> None:
    """Let the user of :func:`run_as_nobody` own the paths."""
    if os.geteuid() == 0:
        for path in paths:
            os.chown(path, NOBODY, NOBODY)


_NOT_ALLOWED = 71

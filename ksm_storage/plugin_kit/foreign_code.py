"""Run an SDK's helpers and prompts without our standard input and our terminal.

What is piped into ``ksm-storage`` is a secret for ksm-storage. A helper that inherits standard
input would read it, and a prompt for a one-time code would send it to the service.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from ..errors import AuthenticationError
from .service_client import DeadlinePassedError, current_deadline


class HelperNotFoundError(Exception):
    """Report a credential helper that is not there or cannot be run."""


class _Helper(subprocess.Popen[Any]):
    """A helper that ends with the deadline of the call that started it."""

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:  # noqa: A002
        """Return what the helper prints; kill it if it does not end in time."""
        deadline = current_deadline()
        # A moment early: whoever waits for this thread leaves at the deadline, and perhaps ends
        # the process.
        if deadline is not None:
            left = max(0.0, deadline.remaining - 0.05)
            timeout = left if timeout is None else min(timeout, left)
        try:
            return super().communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        raise DeadlinePassedError


def start_helper(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a helper as :class:`subprocess.Popen` does, with nothing to read.

    Its standard input is the null device. Where that of this program is not a terminal, the
    helper is in a session of its own besides, so that it cannot ask at the terminal instead.
    ``communicate`` kills it at the deadline.

    Raises:
        HelperNotFoundError: The program does not exist or cannot be run.
    """
    given = {
        **options,
        "stdin": subprocess.DEVNULL,
        "start_new_session": not _is_at_terminal(),
    }
    try:
        return _Helper(command, **given)
    except (OSError, ValueError, IndexError):
        pass
    # Outside the except block: its text repeats the command, with what stands in its arguments.
    raise HelperNotFoundError


def _is_at_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def ask_person(prompt: str) -> str:
    """Ask at the terminal, if this program is used at one, and return the answer.

    The countdown of the deadline stops meanwhile. What is typed is shown: this is for one-time
    codes, and a program that is interrupted must not leave the terminal without echo.

    Raises:
        AuthenticationError: Standard input is not a terminal.
    """
    refusal = AuthenticationError(
        "the credentials require a code, and no terminal is attached to enter it",
        hint="run the command at a terminal, or use credentials that need no code",
    )
    if not _is_at_terminal():
        raise refusal
    deadline = current_deadline()
    try:
        # Not standard input and output: those belong to the program.
        with open("/dev/tty", encoding="utf-8") as typed, open("/dev/tty", "w") as shown:
            shown.write(prompt)
            shown.flush()
            with nullcontext() if deadline is None else deadline.paused():
                return typed.readline().strip()
    except OSError:
        raise refusal from None

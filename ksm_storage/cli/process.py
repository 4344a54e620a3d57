"""The process of one command: what bounds it in time, how it ends, and what reaches its stderr.

A thread of its own watches the clock and the signals, because the main thread may be inside a
library that neither returns nor can be interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator

import click

from ..errors import KsmStorageError

SAID_AFTER_SECONDS = 2.0
ANSWERS = "the key service, the network, a lock or input"
INTERRUPTED = 130
_UNWATCHED = (
    "the system allows no further thread, so --timeout and a second Ctrl-C may have no effect; "
    "check 'ulimit -u'"
)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_DRAIN_SECONDS = 1.0
_MAX_LINE_BYTES = 65_536
_LEVEL = re.compile(r"(error|hint|note|warning): (.*)", re.DOTALL)


class Process:
    """Watch over one command; use it as a context manager around it.

    Args:
        own: Whether the process runs this command alone, and so may be ended. In a test or an
            application that calls the command line, nothing is watched.
        as_json: Whether every line on stderr must be JSON.
    """

    def __init__(self, *, own: bool, as_json: bool) -> None:
        self._own, self._as_json = own, as_json
        self._stderr: _JsonLines | None = None
        self._terminal: _Terminal | None = None
        self._wake: int | None = None
        self._said_at: float | None = None
        self._waits_for = ""
        self._deadline: float | None = None
        self._late: KsmStorageError | None = None
        self.next_step: str | None = None
        self.draws_progress = False

    def bound(self, seconds: float, error: KsmStorageError) -> None:
        """End the process with this error, if the command takes longer."""
        self._late = error
        self._deadline = time.monotonic() + seconds
        self._nudge()

    def stopped_now(self, next_step: str) -> None:
        """Give this hint if the command is stopped from now on, by the clock or an interrupt.

        For a command that spends what exists once: what is stored so far, and what to do next.
        """
        self.next_step = next_step

    @contextlib.contextmanager
    def waiting(self, what: str = ANSWERS) -> Iterator[None]:
        """Name on stderr what the block waits for, if it takes more than two seconds."""
        outer, outer_what = self._said_at, self._waits_for
        self._waits_for, self._said_at = what, time.monotonic() + SAID_AFTER_SECONDS
        self._nudge()
        try:
            yield
        finally:
            self._waits_for, self._said_at = outer_what, None
            if outer is not None:
                self._said_at = time.monotonic() + SAID_AFTER_SECONDS
                self._nudge()

    @contextlib.contextmanager
    def prompting(self) -> Iterator[None]:
        """Let the block wait for somebody who types, without a word about it."""
        outer, self._said_at = self._said_at, None
        try:
            yield
        finally:
            if outer is not None:
                self._said_at = time.monotonic() + SAID_AFTER_SECONDS
                self._nudge()

    def leave_signals(self) -> None:
        """Stop watching signals and the clock: a server runs in this process, and stops itself."""
        self._deadline = self._said_at = None
        if self._wake is not None:
            signal.set_wakeup_fd(-1)
            # The thread that reads the other end closes that one.
            os.close(self._wake)
            self._wake = None

    def give_way(self) -> None:
        """Stop watching, and let go of stderr and the terminal: another program takes over."""
        self.leave_signals()
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None

    def leave(self, code: int) -> None:
        """End the process at once if it runs this command alone, whatever its threads wait for."""
        if not self._own:
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        self._restore_terminal()
        self.give_way()
        os._exit(code)

    def __enter__(self) -> Process:
        if not self._own or os.name != "posix" or not _in_main_thread():
            return self
        self._terminal = _found_terminal()
        reader, writer = os.pipe()
        thread = threading.Thread(
            target=self._watch, args=(reader,), name="ksm-storage-watch", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            # The limit of processes counts threads too.
            os.close(reader)
            os.close(writer)
            text = f"note: {_UNWATCHED}"
            _write(message_json(text) if self._as_json else text)
            return self
        self._wake = writer
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        if self._as_json and _is_real_stderr():
            # Without a thread for it, what a library writes to stderr stays as it is.
            with contextlib.suppress(RuntimeError):
                self._stderr = _JsonLines()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that was given up may still prompt.
        self._restore_terminal()
        self.give_way()

    def _nudge(self) -> None:
        if self._wake is not None:
            os.write(self._wake, b"\0")

    def _watch(self, reader: int) -> None:
        interrupts = 0
        while True:
            if select.select([reader], [], [], self._pause())[0]:
                came = os.read(reader, 512)
                if not came:
                    os.close(reader)
                    return
                interrupts += sum(number in _SIGNALS for number in came)
                if interrupts > 1:
                    self._end(self._stopped(), INTERRUPTED)
            self._look_at_clock()

    def _stopped(self) -> str:
        message, hint = "interrupted; stopped at once", self.next_step
        if not self._as_json:
            return f"error: {message}" + (f"\nhint: {hint}" if hint else "")
        incomplete = "what is on stdout is incomplete; discard it"
        hint = f"{incomplete}; {hint}" if hint else incomplete
        content = {"error": "Interrupted", "message": message, "exit_code": INTERRUPTED}
        return json.dumps({**content, "hint": hint})

    def _end_late(self, error: KsmStorageError) -> None:
        hint = "; ".join(step for step in (self.next_step, error.hint) if step)
        if self._as_json:
            text = json.dumps({**error.as_dict(), "hint": hint})
        else:
            text = f"error: {error.message}\nhint: {hint}"
        self._end(text, error.exit_code)

    def _pause(self) -> float | None:
        times = [moment for moment in (self._said_at, self._deadline) if moment is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _look_at_clock(self) -> None:
        now, deadline, said_at = time.monotonic(), self._deadline, self._said_at
        if self._late is not None and deadline is not None and now >= deadline:
            self._end_late(self._late)
        if said_at is not None and now >= said_at:
            self._said_at = None
            # Below a progress bar, which is drawn without a line end.
            begin = "\n" if self.draws_progress else ""
            _write(f"{begin}note: waiting for {self._waits_for}; Ctrl-C stops")

    def _end(self, text: str, code: int) -> None:
        self._restore_terminal()
        # Neither written through sys.stderr nor flushed: the main thread may hold its lock.
        _write(text)
        if self._stderr is not None:
            self._stderr.close(flush=False)
        os._exit(code)

    def _restore_terminal(self) -> None:
        if self._terminal is not None and self._terminal.restore():
            # What follows begins a line of its own, not the prompt's.
            _put(b"\n")


class _Terminal:
    """Hold how the terminal was found: a prompt that is cut off leaves it without echo."""

    def __init__(self, number: int) -> None:
        import termios

        # A copy: under --json stderr becomes a pipe.
        self._number = os.dup(number)
        self._found = termios.tcgetattr(self._number)

    def restore(self) -> bool:
        """Set it as it was found and tell whether it was otherwise; never waits or stops."""
        import termios

        with contextlib.suppress(OSError, termios.error):
            if termios.tcgetattr(self._number) == self._found:
                return False
            # Whoever sets a terminal from the background is stopped by it.
            if os.tcgetpgrp(self._number) == os.getpgrp():
                termios.tcsetattr(self._number, termios.TCSANOW, self._found)
                # What was typed so far would be the shell's next line.
                termios.tcflush(self._number, termios.TCIFLUSH)
                return True
        return False

    def close(self) -> None:
        """Close the copy."""
        with contextlib.suppress(OSError):
            os.close(self._number)


class _JsonLines:
    """Turn what is written to stderr into JSON lines: ours stay, a library's become messages."""

    # Whatever writes to the descriptor, a C library included, writes to our pipe.
    def __init__(self) -> None:
        sys.stderr.flush()
        self._real = os.dup(2)
        reader, writer = os.pipe()
        # A line that nobody else writes. Not the end of the pipe: a helper may hold it open.
        self._last = b"\0" + os.urandom(16).hex().encode()
        self._thread = threading.Thread(
            target=self._pass_on, args=(reader,), name="ksm-storage-stderr", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:
            for descriptor in (self._real, reader, writer):
                os.close(descriptor)
            raise
        os.dup2(writer, 2)
        os.close(writer)

    def close(self, *, flush: bool = True) -> None:
        """Write what is pending, and restore stderr."""
        if flush:
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                sys.stderr.flush()
        _put(b"\n" + self._last + b"\n")
        os.dup2(self._real, 2)
        self._thread.join(_DRAIN_SECONDS)

    def _pass_on(self, reader: int) -> None:
        with open(reader, "rb") as lines:
            while line := lines.readline(_MAX_LINE_BYTES):
                if line.strip() == self._last:
                    return
                if line.strip():
                    with contextlib.suppress(OSError):
                        os.write(self._real, _as_json(line.rstrip(b"\r\n")) + b"\n")


def current_process() -> Process:
    """Return the process of the command that runs, or one that watches nothing."""
    context = click.get_current_context(silent=True)
    found = None if context is None else context.find_root().obj
    return found if isinstance(found, Process) else Process(own=False, as_json=False)


def message_json(text: str) -> str:
    """Return a message line as JSON: its level and its text."""
    match = _LEVEL.fullmatch(text)
    level, message = match.groups() if match else ("info", text)
    return json.dumps({"level": level, "message": message})


def _as_json(line: bytes) -> bytes:
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(json.loads(line), dict):
            return line
    return message_json(line.decode("utf-8", errors="replace")).encode("ascii")


def _write(text: str) -> None:
    # A file name need not be text.
    _put(f"{text}\n".encode(errors="backslashreplace"))


def _put(content: bytes) -> None:
    # Whoever reads the other end may have stopped: the clock must not wait for them.
    with contextlib.suppress(OSError):
        if select.select([], [2], [], _DRAIN_SECONDS)[1]:
            os.write(2, content)


def _found_terminal() -> _Terminal | None:
    for number in (0, 2, 1):
        # Closed since the look, or no terminal after all: nothing to restore.
        with contextlib.suppress(OSError):
            if os.isatty(number):
                return _Terminal(number)
    return None


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_real_stderr() -> bool:
    try:
        return sys.stderr.fileno() == 2
    except (OSError, ValueError):
        return False

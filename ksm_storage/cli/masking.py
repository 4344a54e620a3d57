"""Run a program whose output is passed on with secret values masked."""

from __future__ import annotations

import bisect
import contextlib
import errno
import os
import selectors
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MASK = b"*****"

# A shorter value would be found in words and numbers that have nothing to do with it.
_MIN_BYTES = 4
_CHUNK_BYTES = 65_536
_PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


class Masker:
    """Replace secret values in a stream of bytes, also those that come in several pieces.

    Only what may be the beginning of a value is held back. The time for a stretch of output grows
    with its length, not with the number or the length of the values.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= _MIN_BYTES}
        self._secrets = forms
        # Sorted, so that the first one at or after a text is the one that begins with it, if any.
        self._sorted = sorted(forms)
        # The lengths of the values that begin with these bytes, the longest first.
        self._lengths: dict[bytes, list[int]] = {}
        for length, start in sorted({(len(form), form[:_MIN_BYTES]) for form in forms}):
            self._lengths.setdefault(start, []).insert(0, length)
        self._held = b""
        # How much of what is held belongs to a value that is masked already.
        self._covered = 0

    def feed(self, content: bytes) -> bytes:
        """Return what can be shown after these bytes came."""
        return self._masked(self._held + content, more=True)

    def end(self) -> bytes:
        """Return what was held back."""
        return self._masked(self._held, more=False)

    def _masked(self, text: bytes, *, more: bool) -> bytes:
        shown: list[bytes] = []
        clear, covered, end = self._covered, self._covered, len(text)
        tail = max(end - _MIN_BYTES + 1, 0)
        position = 0
        while position < end:
            lengths = self._lengths.get(text[position : position + _MIN_BYTES])
            if lengths is None and position < tail:
                position += 1
                continue
            if more and self._may_begin(text[position:], lengths):
                break
            for length in lengths or ():
                if length > end - position:
                    continue
                if text[position : position + length] in self._secrets:
                    # Inside of another value it makes the masked stretch longer at most.
                    if position >= covered:
                        shown += (text[clear:position], MASK)
                    clear = covered = max(covered, position + length)
                    break
            position += 1
        shown.append(text[clear:position])
        self._held, self._covered = text[position:], max(covered - position, 0)
        return b"".join(shown)

    def _may_begin(self, tail: bytes, lengths: Sequence[int] | None) -> bool:
        """Tell whether this end of the text is less than a value that begins with it."""
        if lengths is not None and lengths[0] <= len(tail):
            return False
        place = bisect.bisect_right(self._sorted, tail)
        return place < len(self._sorted) and self._sorted[place].startswith(tail)


def run_masked(
    program: Sequence[str],
    environment: Mapping[str, str],
    secrets: Sequence[bytes],
    *,
    pass_fds: Sequence[int] = (),
) -> int:
    """Run a program, mask its output, and return its exit code.

    It has a pseudo-terminal where we have a terminal. Signals are passed on to it; if one ends it,
    it ends this process, too.

    Raises:
        OSError: The program cannot be started.
    """
    with contextlib.ExitStack() as stack:
        ends = _Ends(stack)
        process = subprocess.Popen(  # noqa: S603  # the user's own program
            program,
            env=dict(environment),
            stdin=ends.stdin,
            stdout=ends.stdout,
            stderr=ends.stderr,
            pass_fds=pass_fds,
            # With a terminal of its own it leads a session, so that keys send it signals.
            start_new_session=ends.terminal is not None,
            preexec_fn=_take_terminal if ends.terminal is not None else None,
        )
        ends.close_childs()
        with _passing_signals(process, ends):
            _copy(ends, secrets)
            code = process.wait()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


class _Ends:
    """Hold our ends of the program's streams, and the program's until it runs."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._childs: list[int] = []
        self._stack = stack
        self.terminal: int | None = None
        # Pairs of what is read from, and written to.
        self.outputs: list[tuple[int, int]] = []
        self.stdin: int | None = None
        slave = self._open_terminal() if os.isatty(1) or os.isatty(2) else None
        self.stdout = self._output(1, slave)
        self.stderr = self._output(2, slave)
        if slave is not None and os.isatty(0):
            self.stdin = slave
            self._set_raw()

    def close_childs(self) -> None:
        """Close the program's ends here, so that theirs is the last one."""
        while self._childs:
            os.close(self._childs.pop())

    def copy_size(self) -> None:
        """Give the program's terminal the size of ours."""
        import fcntl
        import termios

        if self.terminal is not None:
            source = next(number for number in (1, 2) if os.isatty(number))
            size = fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)

    def _open_terminal(self) -> int:
        self.terminal, slave = os.openpty()
        self._stack.callback(os.close, self.terminal)
        self._childs.append(slave)
        self.outputs.append((self.terminal, 1 if os.isatty(1) else 2))
        self.copy_size()
        return slave

    def _output(self, number: int, slave: int | None) -> int:
        if slave is not None and os.isatty(number):
            return slave
        ours, theirs = os.pipe()
        self._stack.callback(os.close, ours)
        self._childs.append(theirs)
        self.outputs.append((ours, number))
        return theirs

    def _set_raw(self) -> None:
        import termios
        import tty

        before = termios.tcgetattr(0)
        self._stack.callback(termios.tcsetattr, 0, termios.TCSAFLUSH, before)
        # Keys are the program's: its terminal echoes them and makes signals of them.
        tty.setraw(0)


def _copy(ends: _Ends, secrets: Sequence[bytes]) -> None:
    maskers = {source: Masker(secrets) for source, _ in ends.outputs}
    with selectors.DefaultSelector() as selector:
        for source, target in ends.outputs:
            selector.register(source, selectors.EVENT_READ, target)
        if ends.terminal is not None and ends.stdin is not None:
            selector.register(0, selectors.EVENT_READ, None)
        while maskers:
            for key, _ in selector.select():
                content = _read(key.fd)
                if key.data is None:
                    if content and ends.terminal is not None:
                        _write(ends.terminal, content)
                    else:
                        selector.unregister(key.fd)
                elif content:
                    _write(key.data, maskers[key.fd].feed(content))
                else:
                    _write(key.data, maskers.pop(key.fd).end())
                    selector.unregister(key.fd)


def _read(source: int) -> bytes:
    try:
        return os.read(source, _CHUNK_BYTES)
    except OSError as exc:
        # How Linux says that nobody has the other end of a terminal open any more.
        if exc.errno == errno.EIO:
            return b""
        raise


def _write(target: int, content: bytes) -> None:
    while content:
        content = content[os.write(target, content) :]


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(1 if os.isatty(1) else 2, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def _passing_signals(process: subprocess.Popen[bytes], ends: _Ends) -> Iterator[None]:
    def pass_on(number: int, _frame: Any) -> None:
        process.send_signal(number)

    before = {}
    for name in _PASSED_ON:
        before[name] = signal.signal(getattr(signal, name), pass_on)
    before["SIGWINCH"] = signal.signal(signal.SIGWINCH, lambda *_: ends.copy_size())
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _forms(secret: bytes) -> Iterator[bytes]:
    """Yield how a value may appear: whole, as a terminal shows it, and line by line."""
    stripped = secret.strip()
    yield stripped
    if b"\n" in stripped:
        yield stripped.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        yield from (line.strip() for line in stripped.splitlines())

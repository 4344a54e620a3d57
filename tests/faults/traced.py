"""Run a piece of a test under ``ptrace``: end it, or let the kernel refuse it, at any system call.

Unlike a seam in Python this misses nothing, whoever makes the call.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable

import pytest

from tests.unit.storage import forked

_TRACEME, _PEEKUSER, _POKEUSER, _DETACH, _SYSCALL = 0, 3, 6, 17, 24
_SETOPTIONS, _TRACESYSGOOD, _EXITKILL = 0x4200, 0x1, 0x100000
_AT_A_CALL = signal.SIGTRAP | 0x80
_NOT_ALLOWED = 72
# Where the kernel keeps the number and the result of a call in the user area of x86-64.
_NUMBER, _RESULT = 15 * 8, 10 * 8
# mmap, mprotect, munmap, brk, rt_sig*, mremap, madvise, getpid, exit, gettid, futex, clock_*,
# exit_group, getrandom: memory, threads and time, of which a save cannot be told anything.
_NO_FILES = {9, 10, 11, 12, 13, 14, 15, 25, 28, 39, 60, 186, 202, 228, 230, 231, 318}

# Much more than any of it takes, on a busy machine too.
_MAX_SECONDS = 300

faults_allowed = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the result of a call is replaced on x86-64 only"
)


class Traced:
    """Hold a forked process that stops at each system call of the work, before it and after it.

    Args:
        work: What is stopped.
        untraced: What the process does before it, at full speed.

    Attributes:
        stop: The number of stops so far.
    """

    def __init__(
        self, work: Callable[[], object], *, untraced: Callable[[], object] | None = None
    ) -> None:
        def stopped_first() -> None:
            # Work that hangs ends as a failure that names the call.
            signal.alarm(_MAX_SECONDS)
            if untraced is not None:
                untraced()
            if _ptrace(_TRACEME, 0) == -1:
                os._exit(_NOT_ALLOWED)
            # To this thread. A library may have started another one after the fork, as gRPC does;
            # if that takes the signal, the whole process stays stopped once it is let go.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            work()

        self._process = forked.start(stopped_first)
        self._status = os.waitpid(self._process, 0)[1]
        self.stop = 0
        if os.WIFSTOPPED(self._status):
            _ptrace(_SETOPTIONS, self._process, data=_TRACESYSGOOD | _EXITKILL)

    def next(self) -> bool:
        """Go on to the next stop; return False if there is none because the work has ended."""
        passed_on = 0
        while True:
            _ptrace(_SYSCALL, self._process, data=passed_on)
            self._status = os.waitpid(self._process, 0)[1]
            if not os.WIFSTOPPED(self._status):
                return False
            if os.WSTOPSIG(self._status) == _AT_A_CALL:
                self.stop += 1
                return True
            passed_on = os.WSTOPSIG(self._status)

    def number(self) -> int:
        """Return the number of the system call at which the process is."""
        return _ptrace(_PEEKUSER, self._process, address=_NUMBER)

    def refuse(self, code: int) -> None:
        """Let the call before which the process is fail without being made."""
        _ptrace(_POKEUSER, self._process, address=_NUMBER, data=-1)
        assert self.next()
        _ptrace(_POKEUSER, self._process, address=_RESULT, data=-code)

    def kill(self) -> None:
        """End the process where it is."""
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def finish(self) -> int:
        """Let the process run to its end unwatched, and return its exit status."""
        if os.WIFSTOPPED(self._status):
            _ptrace(_DETACH, self._process)
            self._status = os.waitpid(self._process, 0)[1]
        return os.waitstatus_to_exitcode(self._status)


def killed_before(
    work: Callable[[], object], call: int, *, untraced: Callable[[], object] | None = None
) -> bool:
    """Kill the work before its call of that number; return False if it makes no so many.

    What is on the disk before a call is what the one before it left there.
    """
    traced = Traced(work, untraced=untraced)
    # The odd stops are before a call, the even ones after it.
    while traced.stop < 2 * call + 1:
        if not traced.next():
            assert traced.finish() == 0
            return False
    traced.kill()
    return True


def refused_at(work: Callable[[], object], call: int, code: int) -> int | None:
    """Let the call of that number that concerns files fail; return the exit status of the work.

    Returns None if the work makes no so many.
    """
    traced = Traced(work)
    seen = 0
    while traced.next():
        if traced.stop % 2 and traced.number() not in _NO_FILES:
            if seen == call:
                traced.refuse(code)
                return traced.finish()
            seen += 1
    assert traced.finish() == 0
    return None


def is_allowed() -> bool:
    """Tell whether this system or container lets a process trace its child."""
    return sys.platform.startswith("linux") and Traced(lambda: None).finish() == 0


def skip_where_not_allowed() -> None:
    """Skip the test where this system or container lets no process trace its child."""
    if not is_allowed():
        pytest.skip("a process may not trace its child here")


def _ptrace(request: int, process: int, *, address: int = 0, data: int = 0) -> int:
    return int(_function()(request, process, address, data & 0xFFFF_FFFF_FFFF_FFFF))


@functools.cache
def _function() -> Callable[..., int]:
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.restype = ctypes.c_long
    call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    return call

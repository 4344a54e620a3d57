"""Keep small secrets in the Linux kernel's keyring, through its system calls.

Source: the manual pages keyrings(7), add_key(2) and keyctl(2), and each page in section 3 of the
operations that are named below.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import time

SESSION, USER, PERSISTENT = KEYRINGS = ("session", "user", "persistent")

# The numbers of add_key and keyctl, by machine, for 64-bit processes. The C library has no
# functions for them, and libkeyutils is not installed everywhere.
_SYSTEM_CALLS = {
    "x86_64": (248, 250),
    "aarch64": (217, 219),
    "riscv64": (217, 219),
    "loongarch64": (217, 219),
    "ppc64le": (269, 271),
    "s390x": (278, 280),
}

_THREAD_KEYRING, _PROCESS_KEYRING, _SPECIAL = -1, -2, {SESSION: -3, USER: -4}
_SETPERM, _DESCRIBE, _LINK, _UNLINK, _SEARCH, _READ = 5, 6, 8, 9, 10, 11
_SET_TIMEOUT, _INVALIDATE, _GET_PERSISTENT = 15, 21, 22

# View, read, search and link, for the user alone. Possession grants nothing: a program that is
# started with another user's rights inherits the session's keyring. Nobody may write it or set
# its attributes, so that nobody can prolong it.
_PERMISSIONS = 0x001B0000

_END_BYTES = 8

_GONE = (errno.ENOKEY, errno.EKEYEXPIRED, errno.EKEYREVOKED)


def find(description: str, *, keyring: str) -> bytes | None:
    """Return the secret of this description that this user has kept, or None.

    Raises:
        OSError: The kernel has no such keyring, or forbids it.
    """
    try:
        key = _search(description, keyring)
        if key is None or not _is_ours(key):
            return None
        raw = _read(key)
        end = int.from_bytes(raw[-_END_BYTES:], "big")
        return raw[:-_END_BYTES] if _nanoseconds() < end else None
    except OSError as exc:
        # It ended between two calls.
        if exc.errno in _GONE:
            return None
        raise


def keep(description: str, secret: bytes, *, keyring: str, seconds: int) -> None:
    """Keep a secret for this many seconds; an entry of the same description is replaced.

    Raises:
        OSError: The kernel has no such keyring, forbids it, or has no room.
    """
    destination = _keyring(keyring)
    name = description.encode()
    # The kernel goes by the system's clock: an entry would live longer when that is set back.
    end = _nanoseconds() + seconds * 1_000_000_000
    entry = secret + end.to_bytes(_END_BYTES, "big")
    # First in a keyring that ends with this thread: if it is killed before the time is set, no
    # entry without an end is left. Not in that of the process: there add_key would update what
    # another thread has just made, and nobody may write that.
    key = _add_key(b"user", name, entry, len(entry), _THREAD_KEYRING)
    try:
        _keyctl(_SET_TIMEOUT, key, seconds)
        _keyctl(_SETPERM, key, _PERMISSIONS)
        _keyctl(_LINK, key, destination)
    finally:
        _keyctl(_UNLINK, key, _THREAD_KEYRING)


def discard(description: str, *, keyring: str) -> None:
    """Remove an entry, if there is one.

    Raises:
        OSError: The kernel has no such keyring, or forbids it.
    """
    key = _search(description, keyring)
    if key is not None and _is_ours(key):
        _keyctl(_INVALIDATE, key)


def _search(description: str, keyring: str) -> int | None:
    try:
        return _keyctl(_SEARCH, _keyring(keyring), b"user", description.encode(), 0)
    except OSError as exc:
        if exc.errno in _GONE:
            return None
        raise


def _keyring(name: str) -> int:
    if name == PERSISTENT:
        return _keyctl(_GET_PERSISTENT, -1, _PROCESS_KEYRING)
    return _SPECIAL[name]


def _is_ours(key: int) -> bool:
    # Another user who shares the keyring can put an entry into it; a data key of theirs must not
    # open a file of theirs.
    raw = _filled(_DESCRIBE, key)
    _, uid, _, permissions, _ = raw.rstrip(b"\0").split(b";", 4)
    return int(uid) == os.geteuid() and int(permissions, 16) == _PERMISSIONS


def _read(key: int) -> bytes:
    return _filled(_READ, key)


def _filled(operation: int, key: int) -> bytes:
    buffer = ctypes.create_string_buffer(512)
    length = _keyctl(operation, key, buffer, len(buffer))
    return buffer.raw[: min(length, len(buffer))]


def _nanoseconds() -> int:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    # Nobody can set this clock, and it goes on while the machine sleeps.
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _keyctl(operation: int, *arguments: object) -> int:
    return _call(1, operation, *arguments)


def _add_key(*arguments: object) -> int:
    return _call(0, *arguments)


def _call(which: int, *arguments: object) -> int:
    numbers = _SYSTEM_CALLS.get(os.uname().machine) if sys.platform == "linux" else None
    if numbers is None or sys.maxsize < 2**32:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    library = ctypes.CDLL(None, use_errno=True)
    syscall = library.syscall
    syscall.restype = ctypes.c_long
    # The calls take longs: a bare int would be passed with an undefined upper half.
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result: int = syscall(ctypes.c_long(numbers[which]), *given)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

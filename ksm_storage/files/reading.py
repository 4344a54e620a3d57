"""Read a file whole, whatever lies at its path, and tell later whether it has changed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator

from ..errors import StorageError
from ..named_tuple import NamedTuple

MAX_READ_BYTES = 8_388_608

# What a key or a configuration has at least, and hardly any path.
_MIN_SECRET = 43
_MIN_CONFIG = 256
_MAX_PATH = 4096
# In an access key, slashes may separate shorter parts.
_ACCESS_KEY = 40
_MARKS = frozenset("{= @\n")

# Time stamps of a file advance in ticks (up to 10 ms on Linux, 2 s on FAT). A file written
# within the last tick may be written again without a visible change, and an inode number may be
# used again: such a signature proves nothing and is compared as changed.
_TICK_NANOSECONDS = 100_000_000

# How a save in place ends; see ksm_storage/files/replacement.py.
_FOOTER = rb"\nksm-storage journal ([0-9]{10}) ([0-9a-f]{64})\n\Z"
_FOOTER_BYTES = len(b"\nksm-storage journal ") + 10 + 1 + 64 + 1
_ENVELOPE = b"ksm-storage envelope v"
_LINE = rb"ksm-storage envelope v\d+|[a-z-]+: [ -~]+|[A-Za-z0-9+/=]*|ksm-storage journal .*"
# As much of such a line as was written.
_CUT_LINE = rb"ksm-storage [ -~]*|[a-z-]+(?:: ?[ -~]*)?|[A-Za-z0-9+/=]*"
_AFTER_NUL = rb"(?<=\0)[^\0]"
_BLOCK_BYTES = 512
_SPACE = 0x20
_OFFICIAL_BLOB = 0xFF
_TAR, _TAR_OFFSET = b"ustar", 257

_HINTS = {
    errno.EACCES: "this user lacks permission; check with 'ls -l'",
    errno.EPERM: "the file may be immutable (see 'lsattr') or belong to another user",
    errno.EROFS: "remount the file system read-write, or keep the file elsewhere",
    errno.ENOSPC: "free some space; the old content is unchanged",
    errno.EDQUOT: "the user's quota is exhausted; the old content is unchanged",
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "part of the path is a file, not a folder",
}


class Signature(NamedTuple):
    """Hold what a file's status said when its content was read."""

    identity: tuple[int, int, int, int, int]
    settled: bool

    def still(self, status: os.stat_result) -> bool:
        """Tell whether the file is certainly the same; False means "look again"."""
        return self.settled and self.identity == _identity(status)


# A file of which nothing is known: compared as changed.
NO_SIGNATURE = Signature((0, 0, 0, 0, 0), settled=False)


class FileContent(NamedTuple):
    """Hold what a file said, and what to compare to see whether it has changed since.

    Attributes:
        content: The version that the file holds.
        signature: The signature of that version.
        status: The file's status.
        unfinished: Whether a save in place has begun and not ended. Without the lock the content
            may then be older than what another read has seen.
    """

    content: bytes
    signature: Signature
    status: os.stat_result
    unfinished: bool = False


def resolved(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of the file itself, with symbolic links followed.

    Raises:
        StorageError: The path is invalid or a configuration, or a link leads nowhere.
    """
    text = os.fspath(path)
    if "\0" in text or not text:
        raise StorageError("the path is empty or contains a NUL byte")
    refuse_configuration(text)
    real = os.path.realpath(text)
    if os.path.islink(text) and not os.path.exists(real):
        raise StorageError(
            f"{text!r} is a symbolic link to a missing file",
            hint="remove the link, or restore the file that it names",
        )
    return real


def refuse_configuration(path: str) -> None:
    """Refuse a configuration or a token in the place of a path.

    Raises:
        StorageError: It is one, or looks like one and no file has that name. The message does not
            repeat it.
    """
    # Most starts load nothing for it: no key or configuration is shorter, hardly any name of a file
    # or folder is longer, and hardly any path has one of these marks.
    names = path.replace(".", "/").split("/")
    is_short = max(map(len, names)) < _MIN_SECRET and len(path) != _ACCESS_KEY
    if is_short and not _MARKS.intersection(path):
        return
    if _is_secret(path):
        raise StorageError(
            "the path is a configuration or a token (not shown)",
            hint="pass the path of a file; to seal a configuration, pipe it into "
            "'ksm-storage profile import PATH'",
        )


def _is_secret(path: str) -> bool:
    from ..contract.redaction import may_be_secret

    if may_be_secret(path) and not os.path.lexists(path[:_MAX_PATH]):
        return True
    if "{" not in path and len(path) < _MIN_CONFIG:
        return False
    from ..config.recognise import is_plain

    return is_plain(os.fsencode(path))


def read_file(path: str) -> FileContent:
    """Return the current version of a file.

    Raises:
        FileNotFoundError: It does not exist; the caller decides what that means.
        StorageError: It cannot be read, is not a regular file, or is too large.
    """
    # Nothing is written, so that a failure to close means nothing.
    with descriptors() as held:
        descriptor = open_regular(held, path, os.O_RDONLY)
        try:
            status = os.fstat(descriptor)
            raw = read_all(descriptor, path, status)
        except OSError as exc:
            raise file_error("read", path, exc) from exc
    if b"\0" in raw:
        settled = settled_content(raw)
        unfinished = raw.startswith(settled + b"\0")
        return FileContent(settled, signature_of(status), status, unfinished)
    return FileContent(raw, signature_of(status), status)


def open_regular(held: Descriptors, path: str, access: int) -> int:
    """Open a file that may turn out not to be a regular one; read it with :func:`read_all`."""
    try:
        # Without O_NONBLOCK a FIFO at this path would hang the process.
        return held.open(path, access | _FLAGS)
    except FileNotFoundError:
        raise
    except OSError as exc:
        if access != os.O_RDONLY:
            raise
        raise file_error("read", path, exc) from exc


def read_all(descriptor: int, path: str, status: os.stat_result) -> bytes:
    """Return all bytes of an open file.

    Raises:
        StorageError: It is not a regular file, is too large, or cannot be read.
    """
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(
            f"{path!r} is not a regular file",
            hint="name the file itself; for the files of a folder: PATH/*",
        )
    parts: list[bytes] = []
    size = 0
    # In one piece where the size is true, so that nothing is joined.
    piece = min(max(65_536, status.st_size), MAX_READ_BYTES)
    try:
        while part := os.read(descriptor, piece):
            parts.append(part)
            size += len(part)
            if size > MAX_READ_BYTES:
                raise StorageError(
                    f"{path!r} is larger than {MAX_READ_BYTES} bytes",
                    hint="it is not a configuration: check the path",
                )
    except OSError as exc:
        raise file_error("read", path, exc) from exc
    return parts[0] if len(parts) == 1 else b"".join(parts)


def settled_content(raw: bytes) -> bytes:
    """Return the version that a file holds, even where a save in place is unfinished.

    The form of such a file is described in :mod:`ksm_storage.files.replacement`.
    """
    if b"\0" not in raw:
        return raw
    pending = _pending(raw)
    if pending is not None:
        return pending
    old = raw[: raw.index(b"\0")]
    if old.startswith(_ENVELOPE):
        interrupted = _can_be_interrupted(raw, len(old))
    else:
        interrupted = _can_be_protecting(raw, len(old))
    # Whole, so that the parser refuses it.
    return old if interrupted else raw


def _can_be_protecting(raw: bytes, old_bytes: int) -> bool:
    """Tell whether text and NUL bytes stand behind other text, as where protect was interrupted."""
    import re

    # Only text can have been saved by us. A Keeper package's file may begin as text, but its
    # ciphertext does not go on so; after one byte, it is UTF-16. An archive of text is tar's.
    return (
        _SPACE <= raw[0] < _OFFICIAL_BLOB
        and old_bytes > 1
        and re.search(rb"[^\0\r\n -~]", raw[old_bytes:]) is None
        and not raw.startswith(_TAR, _TAR_OFFSET)
    )


def _can_be_interrupted(raw: bytes, old_bytes: int) -> bool:
    """Tell whether an interrupted save of an envelope can have left what is behind the old one."""
    import re

    new = raw[old_bytes:].lstrip(b"\0")
    start = len(raw) - len(new)
    # The new version begins one byte behind the longer of the two, and a footer ends it.
    if len(new) > start - 1 + _FOOTER_BYTES or re.search(rb"[^\0\n -~]", new):
        return False
    if b"\0" in new or not new.startswith(_ENVELOPE[: len(new)]):
        # After a loss of power, blocks of the new version that were not written read as zeros.
        return all(
            (start + found.start()) % _BLOCK_BYTES == 0 for found in re.finditer(_AFTER_NUL, new)
        ) and (new.startswith(_ENVELOPE) or start % _BLOCK_BYTES == 0)
    *lines, cut = new.split(b"\n")
    # Written from its start, it is there up to some byte. A whole footer would be a finished save.
    return (
        not re.search(_FOOTER, new)
        and all(re.fullmatch(_LINE, line) for line in lines)
        and re.fullmatch(_CUT_LINE, cut) is not None
    )


def _pending(raw: bytes) -> bytes | None:
    # Loaded for an unfinished save only: most starts do without.
    import re

    footer = re.compile(_FOOTER).search(raw, max(0, len(raw) - _FOOTER_BYTES))
    if footer is None:
        return None
    end = footer.start()
    content = raw[max(0, end - int(footer[1])) : end]
    matches = sha256_hex(content).encode("ascii") == footer[2]
    return content if matches and len(content) == int(footer[1]) else None


def sha256_hex(content: bytes) -> str:
    """Return the SHA-256 that the footer of a save in place holds."""
    # Loaded for a save in place only; opening a file does without.
    import hashlib

    return hashlib.sha256(content).hexdigest()


def signature_of(status: os.stat_result) -> Signature:
    """Return the signature of a file whose content is read, or was written, at this moment."""
    latest = max(status.st_mtime_ns, status.st_ctime_ns)
    return Signature(_identity(status), time.time_ns() - latest > _TICK_NANOSECONDS)


class Descriptors:
    """Hold what was opened through it, until it is closed.

    A handler may raise after every call of a function, so also between ``os.open`` and the
    assignment of its result. Therefore ``map`` opens and ``extend`` keeps, as one call that no
    handler interrupts; closing likewise.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: list[int] = []

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        """Open a file as ``os.open`` does; keep and return its descriptor."""
        self._held.extend(map(os.open, (path,), (flags,), (mode,)))
        return self._held[-1]

    def dup(self, descriptor: int) -> int:
        """Duplicate a descriptor; keep and return the copy."""
        self._held.extend(map(os.dup, (descriptor,)))
        return self._held[-1]

    def close(self) -> None:
        """Close all of them; each counts as closed, whatever is raised.

        Raises:
            OSError: What was written may not have arrived.
        """
        while self._held:
            list(map(os.close, map(self._held.pop, (-1,))))


@contextlib.contextmanager
def descriptors() -> Iterator[Descriptors]:
    """Lend what opens files, and close them at the end; a failed close is not reported."""
    held = Descriptors()
    try:
        yield held
    finally:
        # Twice, because a signal handler may raise in the first.
        try:
            _close_quietly(held)
        finally:
            _close_quietly(held)


def _close_quietly(held: Descriptors) -> None:
    with contextlib.suppress(OSError):
        held.close()


def file_error(verb: str, path: str, exc: OSError) -> StorageError:
    """Return the error for a file that cannot be read or written, with advice where possible."""
    return StorageError(
        f"cannot {verb} {path!r}: {exc.strerror}",
        hint=_HINTS.get(exc.errno or 0),
    )


def not_found(path: str | os.PathLike[str]) -> StorageError:
    """Return the error for a file that was named and is not there."""
    return StorageError(
        f"{os.fspath(path)!r} does not exist",
        hint="check the path; a relative one starts at the working directory",
    )


def _identity(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

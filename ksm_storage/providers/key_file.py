"""The provider ``key-file``: a KEK in a local file of 32 bytes that only its owner can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from functools import partial

from ..errors import StorageError
from ..files.reading import Descriptors, descriptors
from ..plugin import (
    KeyNotFoundError,
    KeyStateError,
    KeyWrapper,
    Option,
    PermissionDeniedError,
    Settings,
    SettingsError,
)
from .aes_gcm_wrapper import KEK_BYTES, AesGcmWrapper

SCHEME = "key-file"
PRIVATE, ANY = "private", "any"
_OPT_OUT = "set 'path' and 'permissions=any' of key-file"

_Check = Callable[[str, int, os.stat_result], None]

_BINARY = getattr(os, "O_BINARY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)


def key_wrapper_options() -> Sequence[Option]:
    """Declare the options for a key file that was moved, or that a platform hands out."""
    return [
        Option("path", "Absolute path of the key file, if it was moved after sealing."),
        Option(
            "permissions",
            "Accept the file in 'path' only if it is private, or with any owner and mode.",
            default=PRIVATE,
            choices=(PRIVATE, ANY),
        ),
    ]


def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    """Open the key wrapper of one key file; the file is read when it is used."""
    moved = settings.text("path")
    path = moved or _path_named_by(key_id)
    if "\0" in path or not _is_encodable(path):
        raise SettingsError(
            "the key file's path is not a valid file name",
            hint="use the URI that 'ksm-storage keygen' printed: key-file:///PATH",
        )
    if moved and not os.path.isabs(moved):
        # Not repeated: it may be the key itself.
        raise SettingsError(
            "the setting 'path' of key-file must be an absolute path",
            hint="start the path at the root: /etc/keys/app.key",
        )
    if not os.path.isabs(path):
        raise SettingsError(
            f"the key file {path!r} must be an absolute path",
            hint=f"use {key_uri_of(os.path.abspath(path))}",
        )
    anyone = settings.text("permissions") == ANY
    if anyone and not moved:
        # An envelope names a path too, and must not name a file that someone else prepared.
        raise SettingsError(
            "the setting 'permissions=any' of key-file needs the setting 'path'",
            hint="set 'path' of key-file to the file that may have any owner and mode",
        )
    read = partial(read_any_key_file if anyone else read_key_file, path)
    return AesGcmWrapper(key_id, for_wrap=read, for_unwrap=read, kept_in={"file": path})


def read_key_file(path: str) -> bytes:
    """Return the 32-byte KEK from a regular file that other users cannot reach.

    Raises:
        KeyNotFoundError: The file does not exist.
        PermissionDeniedError: It cannot be read, belongs to another user, or is accessible to them.
        KeyStateError: It is not a regular file of exactly 32 bytes.
    """
    return _kek_in(path, _refuse_shared)


def read_any_key_file(path: str) -> bytes:
    """Return the 32-byte KEK from a regular file, whatever its owner and mode.

    Raises:
        KeyNotFoundError, PermissionDeniedError, KeyStateError: As :func:`read_key_file`.
    """
    return _kek_in(path, _accept_shared)


def _kek_in(path: str, check: _Check) -> bytes:
    with descriptors() as held:
        kek = _read_checked(held, path, check)
    if len(kek) != KEK_BYTES:
        raise KeyStateError(
            f"the key file {path!r} must be exactly {KEK_BYTES} bytes",
            hint="restore it from a copy; for a new key: ksm-storage keygen PATH",
        )
    return kek


def _read_checked(held: Descriptors, path: str, check: _Check) -> bytes:
    try:
        # Without O_NONBLOCK a FIFO at this path would hang the process.
        descriptor = held.open(path, os.O_RDONLY | _NONBLOCK | _BINARY)
    except (FileNotFoundError, NotADirectoryError) as exc:
        import shlex

        raise KeyNotFoundError(
            f"the key file {path!r} does not exist",
            hint="restore it, or give its new path in the setting 'path' of key-file; "
            f"to seal under a new key: ksm-storage keygen {shlex.quote(path)}",
        ) from exc
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyStateError(
                f"the key file {path!r} is not a regular file",
                hint="name the file itself: a folder, a pipe or a device cannot be a key",
            )
        check(path, descriptor, status)
        return os.read(descriptor, KEK_BYTES + 1)
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _unreadable(path: str, exc: OSError) -> PermissionDeniedError:
    from ..plugin_kit.file_access import unreadable

    return unreadable(path, exc, what="key file")


def _path_named_by(key_id: str) -> str:
    path = key_id
    if os.name != "posix" or "%" in key_id:
        path = path_of(key_id)
    # Windows logs in to the server of such a path; an envelope must not be able to cause that.
    if not path[:2].strip("/\\"):
        raise SettingsError(
            f"the key file {path!r} is on a network share",
            hint="if this is intended, give its path in the setting 'path' of key-file",
        )
    return path


def _is_encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeError:
        return False
    return True


def _accept_shared(_path: str, _descriptor: int, _status: os.stat_result) -> None:
    """Accept any owner and mode, which the user asked for."""


def _refuse_shared(path: str, descriptor: int, status: os.stat_result) -> None:
    if os.name != "posix":
        return
    if status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return
    # Loaded for what a platform handed out: most starts do without.
    from ..plugin_kit.file_access import refuse_exposed

    refuse_exposed(
        descriptor, what="key file", path=path, cure="create a new key", opt_out=_OPT_OUT
    )


def path_of(key_id: str) -> str:
    """Return the path that a key id names."""
    from urllib.parse import unquote_to_bytes

    path = os.fsdecode(unquote_to_bytes(key_id))
    # file:///C:/keys/app.key and the like: the first slash is the URI's, not the path's.
    return path[1:] if len(path) > 2 and path[0] == "/" and path[2] == ":" else path


def key_uri_of(path: str | os.PathLike[str]) -> str:
    """Return the URI of a key file at an absolute path."""
    from pathlib import PurePath
    from urllib.parse import quote

    posix = (path if isinstance(path, PurePath) else PurePath(path)).as_posix()
    return (
        f"{SCHEME}://{'' if posix.startswith('/') else '/'}{quote(os.fsencode(posix), safe='/:')}"
    )


def write_key_file(path: str | os.PathLike[str]) -> str:
    """Write 32 random bytes to a new file that only its owner can read; return its absolute path.

    When this returns, the file and its name are on disk.

    Raises:
        StorageError: The path exists, which is never overwritten, or cannot be written; a partial
            file is removed.
    """
    # Loaded to create a key: opening does without.
    from ..files.replacement import write_new_file

    if not os.fspath(path):
        raise StorageError("the path of the key file is empty")
    absolute = os.path.abspath(path)
    try:
        write_new_file(absolute, os.urandom(KEK_BYTES))
    except FileExistsError as exc:
        raise StorageError(
            f"{absolute!r} already exists",
            hint="files sealed under a key cannot be opened without it; choose another path",
        ) from exc
    except OSError as exc:
        raise StorageError(
            f"cannot write the key file {absolute!r}: {exc.strerror}",
            hint="choose a path in an existing folder that you can write to",
        ) from exc
    return absolute

"""The provider ``key-file``: a KEK in a local file of exactly 32 bytes, readable by its owner."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from functools import partial

from ..plugin import (
    AuthenticationError,
    KeyNotFoundError,
    KeyStateError,
    KeyWrapper,
    Option,
    PermissionDeniedError,
    Settings,
    SettingsError,
    hookimpl,
)
from .aes_gcm_wrapper import KEK_BYTES, AesGcmWrapper


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    """Declare the option that says where a key file lies now."""
    return [Option("path", "Absolute path of the key file where it moved since the wrap.")]


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    """Open the key wrapper of one key file; the file is read when it is used."""
    moved = settings.text("path")
    path = moved or _path_named_by(key_id)
    if "\0" in path or not _is_encodable(path):
        raise SettingsError(
            "the key file has a name that no file can have",
            hint="name it as ksm-storage keygen did: key-file:///PATH",
        )
    if moved and not os.path.isabs(moved):
        # Not repeated: it may be the key itself.
        raise SettingsError(
            "the setting 'path' of key-file is not an absolute path",
            hint="give the path of the key file from the root on",
        )
    if not os.path.isabs(path):
        from .key_file_name import key_uri_of

        raise SettingsError(
            f"the key file {path!r} is not an absolute path",
            hint=f"write {key_uri_of(os.path.abspath(path))}",
        )
    read = partial(read_key_file, path)
    return AesGcmWrapper(key_id, for_wrap=read, for_unwrap=read, kept_in={"file": path})


def read_key_file(path: str) -> bytes:
    """Return the 32-byte KEK from a regular file that nobody but its owner can read.

    Raises:
        KeyNotFoundError: There is no such file.
        PermissionDeniedError: It cannot be read, or others could read it.
        KeyStateError: It is no regular file of exactly 32 bytes.
    """
    try:
        # Without O_NONBLOCK a FIFO at this path would hang the process.
        descriptor = os.open(path, os.O_RDONLY | _NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise KeyNotFoundError(
            f"the key file {path!r} does not exist",
            hint="restore it, or say where it moved with the setting 'path' of key-file",
        ) from exc
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    try:
        _refuse_unsafe(path, os.fstat(descriptor))
        kek = os.read(descriptor, KEK_BYTES + 1)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    if len(kek) != KEK_BYTES:
        raise KeyStateError(
            f"the key file {path!r} does not hold exactly {KEK_BYTES} bytes",
            hint="make one with: ksm-storage keygen PATH",
        )
    return kek


def _unreadable(path: str, exc: OSError) -> PermissionDeniedError:
    return PermissionDeniedError(f"cannot read the key file {path!r}: {exc.strerror}")


def _path_named_by(key_id: str) -> str:
    path = key_id
    if os.name != "posix" or "%" in key_id:
        # Loaded where a name has more to it than slashes: most starts do without.
        from .key_file_name import path_of

        path = path_of(key_id)
    # Windows logs in to the server of such a path: an envelope must not be able to send it there.
    if not path[:2].strip("/\\"):
        raise SettingsError(
            f"the key file {path!r} lies on a network share",
            hint="if it is meant, give its path with the setting 'path' of key-file",
        )
    return path


def _is_encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeError:
        return False
    return True


def _refuse_unsafe(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyStateError(f"the key file {path!r} is not a regular file")
    if os.name == "posix":
        if status.st_uid not in (0, os.geteuid()):
            # Else an envelope could name a key of somebody who wants us to open their file.
            raise AuthenticationError(
                f"the key file {path!r} belongs to another user",
                hint="let the user who runs this program, or root, own it",
            )
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            import shlex

            raise PermissionDeniedError(
                f"the key file {path!r} can be read by others",
                hint=f"chmod 600 {shlex.quote(path)}, "
                "and make a new key if somebody may have read it",
            )


_NONBLOCK = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

"""Who else can reach a file that holds a key or a PIN: judged by owner, mode and access list."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from ..errors import PermissionDeniedError

PRIVATE, ANY = "private", "any"
# The owner of files whose owner a rootless container does not know: nobody there can become it.
UNMAPPED = 65_534

_ACCESS_LIST = "system.posix_acl_access"
_ENTRY = "<HHI"
_ENTRY_BYTES = 8
_ENTRIES_START = 4  # after the version
_NAMED_USER, _OWNING_GROUP, _NAMED_GROUP, _MASK = 0x02, 0x04, 0x08, 0x10
_READ = 4


def refuse_exposed(descriptor: int, *, what: str, path: str, cure: str, opt_out: str) -> None:
    """Refuse an open file that somebody else than root and this user can reach.

    A file of root may be readable by a group, or by those whom an access control list names: this
    is how Kubernetes (``fsGroup``) and systemd (``LoadCredential``) hand a secret to one service.

    Args:
        descriptor: The open file.
        what: What it holds, as it stands in a message: ``key file``.
        path: Its path, for the message.
        cure: What to do besides ``chmod`` if somebody may have read it: ``create a new key``.
        opt_out: The settings that accept any owner and mode.

    Raises:
        PermissionDeniedError: It belongs to another user, or others can read or write it.
    """
    if os.name != "posix":
        return
    status = os.fstat(descriptor)
    mine = os.geteuid()
    elsewhere = f"if the platform sets owner and mode, {opt_out}"
    if status.st_uid not in (0, mine):
        # Otherwise an envelope could name the key of someone who wants us to open their file.
        as_owner = f"run this as its owner: sudo -u '#{status.st_uid}' COMMAND; "
        raise PermissionDeniedError(
            f"the {what} {_shown(path)} belongs to another user (uid {status.st_uid})",
            hint=f"its owner must be root or the user of this program (uid {mine}); "
            f"{as_owner if mine == 0 and status.st_uid != UNMAPPED else ''}{elsewhere}",
        )
    # Write permission is never needed, and whoever has it can put another secret there.
    allowed = _READ if status.st_uid == 0 else 0
    if status.st_mode & stat.S_IRWXO or _of_others(descriptor, status.st_mode) & ~allowed:
        import shlex

        can_change = mine in (0, status.st_uid) and not _is_read_only(descriptor)
        chmod = f"chmod 600 {shlex.quote(path)}, and {cure} if it may have been read; "
        raise PermissionDeniedError(
            f"the {what} {_shown(path)} is accessible to other users "
            f"(mode {stat.S_IMODE(status.st_mode):04o})",
            hint=(chmod if can_change else "") + elsewhere,
        )


def unreadable(path: str, exc: OSError, *, what: str) -> PermissionDeniedError:
    """Return the error for such a file that this user cannot read, with its owner if known."""
    hint = None
    if isinstance(exc, PermissionError) and os.name == "posix":
        try:
            status = os.stat(path)
        except OSError:
            place = "the file, or the folders above it,"
        else:
            place = (
                f"the file (owner uid {status.st_uid}, group gid {status.st_gid}, "
                f"mode {stat.S_IMODE(status.st_mode):04o})"
            )
        hint = f"{place} must be readable by the user of this program (uid {os.geteuid()})"
    message = f"cannot read the {what} {_shown(path)}: {exc.strerror}"
    return PermissionDeniedError(message, hint=hint)


def _shown(path: str) -> str:
    # Loaded for a refusal only, as all that messages need.
    from ..contract.redaction import shown_path

    return shown_path(path)


def _of_others(descriptor: int, mode: int) -> int:
    """Return what the group and the access control list permit to others than root and us."""
    group = (mode & stat.S_IRWXG) >> 3
    if not group:
        return 0
    try:
        entries = list(_entries(os.getxattr(descriptor, _ACCESS_LIST)))
    except (OSError, AttributeError):  # no list, or a system without them
        return group
    # With a list, the mode's bits of the group are its mask: more than anybody may have.
    granted = 0
    for tag, permissions, who in entries:
        is_other = tag == _NAMED_USER and who not in (0, os.geteuid())
        if is_other or tag in (_OWNING_GROUP, _NAMED_GROUP):
            granted |= permissions
    mask = [permissions for tag, permissions, _ in entries if tag == _MASK]
    return granted & (mask[0] if mask else group)


def _entries(raw: bytes) -> Iterator[tuple[int, int, int]]:
    import struct

    end = len(raw) - (len(raw) - _ENTRIES_START) % _ENTRY_BYTES
    yield from struct.iter_unpack(_ENTRY, raw[_ENTRIES_START:end])


def _is_read_only(descriptor: int) -> bool:
    return bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)

"""Translate what keyring and the native libraries below it raise."""

from __future__ import annotations

from ..plugin import KsmStorageError, PermissionDeniedError, UnavailableError

# By name, so that the libraries need not be imported, nor even be installed on this platform.
_LOCKED = {"KeyringLocked", "LockedException", "PromptDismissedException"}
_REFUSED = {"PasswordSetError", "PasswordDeleteError", "KeyringError", "PermissionError"}
_DBUS_LOCKED = "org.freedesktop.Secret.Error.IsLocked"
_DBUS_REFUSED = "org.freedesktop.DBus.Error.AccessDenied"


def translated(exc: Exception, backend: str) -> KsmStorageError:
    """Return the documented error that stands for what was raised; its text is not copied."""
    kind = type(exc).__name__
    dbus_name = getattr(exc, "name", None) if kind == "DBusErrorResponse" else None
    if kind in _LOCKED or dbus_name == _DBUS_LOCKED:
        return locked(backend)
    if kind in _REFUSED or dbus_name == _DBUS_REFUSED:
        return PermissionDeniedError(
            f"the OS keyring ({backend}) refuses access",
            hint="allow this program to use the keyring, or name another key with --key",
        )
    return UnavailableError(
        f"no OS keyring ({backend}) can be used here: {kind}",
        hint="start a desktop session or its keyring service, or name another key with --key",
    )


def locked(backend: str) -> UnavailableError:
    """Return the error for a store that is there and locked.

    It is ``UnavailableError``: nothing is wrong with the key, the same call succeeds after the
    store was unlocked, and another recipient may open the envelope meanwhile.
    """
    return UnavailableError(
        f"the OS keyring ({backend}) is locked",
        hint="unlock it (log in to the desktop session), or name another key with --key",
    )

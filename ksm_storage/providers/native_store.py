"""The operating system's store of secrets, through the package ``keyring``.

The back ends are listed here. ``keyring.get_keyring()`` would choose by priority among all that are
installed, and some of those keep plain text in a file or ask for a password.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import ctypes

from ..errors import KsmStorageError, PermissionDeniedError, PluginLoadError, UnavailableError
from ..plugin import DeadlinePassedError, deadline_of, gc_pause, within_deadline

AUTO = "auto"
SECRET_SERVICE = "secret-service"  # noqa: S105  # a name
KWALLET = "kwallet"
MACOS = "macos-keychain"
WINDOWS = "windows-credential-locker"

BACKENDS = {
    SECRET_SERVICE: ("keyring.backends.SecretService", "Keyring"),
    KWALLET: ("keyring.backends.kwallet", "DBusKeyring"),
    MACOS: ("keyring.backends.macOS", "Keyring"),
    WINDOWS: ("keyring.backends.Windows", "WinVaultKeyring"),
}

SECONDS = 1.8
SECONDS_WITH_PROMPT = 120.0

# By name, so that the libraries need not be imported, nor even be installed on this platform.
_LOCKED = {"KeyringLocked", "LockedException", "PromptDismissedException"}
_REFUSED = {"PasswordSetError", "PasswordDeleteError", "KeyringError", "PermissionError"}
_DBUS_LOCKED = "org.freedesktop.Secret.Error.IsLocked"
_DBUS_REFUSED = "org.freedesktop.DBus.Error.AccessDenied"

_Result = TypeVar("_Result")


class Backend(Protocol):
    """The methods we use of a ``keyring`` back end."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return the entry, or None."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Write the entry."""
        ...


class NativeStore:
    """Read and write entries of the native store; each call has a time limit.

    With ``prompt=False`` a call fails with ``UnavailableError`` if the store would have to ask the
    user.

    Raises:
        PluginLoadError: The package ``keyring`` is not installed.
        UnavailableError: The store does not exist here, is locked, or does not answer.
        PermissionDeniedError: The store denied access.
    """

    def __init__(self, backend: str, *, prompt: bool) -> None:
        self._name = backend_for(sys.platform) if backend == AUTO else backend
        self._prompt = prompt

    @property
    def name(self) -> str:
        """The native store's name, one of the choices of the option ``backend``."""
        return self._name

    def read(self, service: str, entry: str) -> str | None:
        """Return the text of an entry, or None if it does not exist."""
        return self._called(lambda backend: backend.get_password(service, entry))

    def write(self, service: str, entry: str, text: str) -> None:
        """Write an entry."""
        self._called(lambda backend: backend.set_password(service, entry, text))

    def _called(self, call: Callable[[Backend], _Result]) -> _Result:
        # Imported here and not in the thread: a slow import does not mean that the store hangs.
        make = _backend_class(self._name)
        seconds = SECONDS_WITH_PROMPT if self._prompt else SECONDS
        try:
            with deadline_of(seconds):
                return within_deadline(lambda: self._call_checked(make, call))
        except DeadlinePassedError as exc:
            raise UnavailableError(
                f"the OS keyring ({self._name}) did not answer in time",
                hint="restart its service, or use another key (--key, when sealing)",
            ) from exc
        except KsmStorageError:
            raise
        except ImportError as exc:
            raise _not_installed() from exc
        # keyring passes on whatever the native library raises.
        except Exception as exc:
            raise translated(exc, self._name) from exc

    def _call_checked(
        self, make: Callable[[], Backend], call: Callable[[Backend], _Result]
    ) -> _Result:
        backend = make()
        prepare(self._name, backend, prompt=self._prompt)
        return call(backend)


def backend_for(platform: str) -> str:
    """Return the native store of a platform; ``platform`` is a value of ``sys.platform``."""
    return {"darwin": MACOS, "win32": WINDOWS}.get(platform, SECRET_SERVICE)


def prepare(name: str, backend: Backend, *, prompt: bool) -> None:
    """Check that the store exists and, without ``prompt``, that it will not ask the user.

    Raises:
        UnavailableError: It does not exist, or would ask.
    """
    if name == SECRET_SERVICE:
        if not prompt:
            use_unlocked(backend)
        return
    # Reading the priority is how keyring finds out whether a back end works here.
    _ = type(backend).priority  # type: ignore[attr-defined]  # every back end of keyring has it
    if name == KWALLET and not prompt:
        raise UnavailableError(
            "KWallet may prompt, and no terminal is attached to answer",
            hint="set 'backend' of os-keyring to secret-service, which KWallet also provides",
        )
    if name == MACOS:
        allow_interaction(prompt)


def use_unlocked(backend: Any) -> None:
    """Let keyring use the collection that it would choose while it exists and is unlocked.

    Raises:
        UnavailableError: The store is locked, or the service would ask to create it.
    """
    import secretstorage

    with ExitStack() as undo:
        connection = secretstorage.dbus_init()
        undo.callback(connection.close)
        # keyring reads the name of another collection from the environment.
        preferred = getattr(backend, "preferred_collection", None)
        try:
            collection = (
                secretstorage.Collection(connection, preferred)
                if preferred
                else secretstorage.get_collection_by_alias(connection, "default")
            )
        except secretstorage.ItemNotFoundException as exc:
            raise UnavailableError(
                "the OS keyring (secret-service) has no default collection",
                hint="log in to the desktop session once, or use another key (--key, when sealing)",
            ) from exc
        if collection.is_locked():
            raise locked("secret-service")
        # Its own way there takes a second connection, and asks all of this again.
        backend.get_preferred_collection = lambda: collection
        # It may be locked by now, or the item alone: keyring would ask the user.
        backend.unlock = _refuse_locked
        undo.pop_all()


def _refuse_locked(item: Any) -> None:
    if item.is_locked():
        raise locked("secret-service")


def allow_interaction(allowed: bool, *, load: Callable[[str], ctypes.CDLL] | None = None) -> None:
    """Set for this process whether the Keychain may ask; if not, it returns an error instead.

    Source: Apple Security framework, SecKeychainSetUserInteractionAllowed.
    """
    import ctypes
    import ctypes.util

    path = ctypes.util.find_library("Security") or (
        "/System/Library/Frameworks/Security.framework/Security"
    )
    (load or ctypes.CDLL)(path).SecKeychainSetUserInteractionAllowed(ctypes.c_ubyte(allowed))


def _backend_class(name: str) -> Callable[[], Backend]:
    module, attribute = BACKENDS[name]
    try:
        with gc_pause():
            found: Callable[[], Backend] = getattr(importlib.import_module(module), attribute)
    except ImportError as exc:
        raise _not_installed() from exc
    return found


def _not_installed() -> PluginLoadError:
    return PluginLoadError(
        "os-keyring needs the package 'keyring', which is not installed",
        hint="install it with: pip install keyring",
    )


def translated(exc: Exception, backend: str) -> KsmStorageError:
    """Return the documented error for an exception of the store; its text is not copied."""
    kind = type(exc).__name__
    dbus_name = getattr(exc, "name", None) if kind == "DBusErrorResponse" else None
    if kind in _LOCKED or dbus_name == _DBUS_LOCKED:
        return locked(backend)
    if kind in _REFUSED or dbus_name == _DBUS_REFUSED:
        return PermissionDeniedError(
            f"the OS keyring ({backend}) denied access",
            hint="allow this program to use the keyring, or use another key (--key, when sealing)",
        )
    return UnavailableError(
        f"no usable OS keyring ({backend}): {_reason(exc, backend)}",
        hint="start a desktop session or its keyring service, or use another key (--key, when "
        "sealing)",
    )


def _reason(exc: Exception, backend: str) -> str:
    # The names of the libraries' exceptions tell a user nothing.
    platform = {MACOS: "darwin", WINDOWS: "win32"}.get(backend)
    if platform is not None and sys.platform != platform:
        return f"{'macOS' if backend == MACOS else 'Windows'} only; check the option 'backend'"
    if backend == KWALLET:
        return "no KWallet on the session bus, or the package 'dbus-python' is not installed"
    if backend != SECRET_SERVICE:
        return "the system's store failed"
    if type(exc).__name__ == "InitError":
        return (
            "its collection cannot be opened; check KEYRING_PROPERTY_PREFERRED_COLLECTION"
            if "KEYRING_PROPERTY_PREFERRED_COLLECTION" in os.environ
            else "its collection cannot be opened or created"
        )
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    if not address:
        return "no D-Bus session (DBUS_SESSION_BUS_ADDRESS is not set), as over ssh or in cron"
    if isinstance(exc, OSError):
        return "cannot connect to the D-Bus session of DBUS_SESSION_BUS_ADDRESS"
    return "no keyring service answers in the D-Bus session of DBUS_SESSION_BUS_ADDRESS"


def locked(backend: str) -> UnavailableError:
    """Return the error for a locked store.

    It is ``UnavailableError``: nothing is wrong with the key, the same call succeeds once the store
    is unlocked, and meanwhile another recipient may open the envelope.
    """
    return UnavailableError(
        f"the OS keyring ({backend}) is locked",
        hint="log in to the desktop session and confirm the dialog that unlocks it, or use another "
        "key (--key, when sealing)",
    )

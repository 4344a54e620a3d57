"""The one seam to the operating system's store of secrets, through the package ``keyring``.

The back ends are named one by one. ``keyring.get_keyring()`` would choose by priority among all
that is installed, and some of those keep plain text in a file or ask for a password.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Protocol, TypeVar

from ..errors import KsmStorageError, PluginLoadError, UnavailableError
from .bounded_call import Overdue, within
from .native_store_errors import translated

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

_Result = TypeVar("_Result")


class Backend(Protocol):
    """What we use of a back end of ``keyring``."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return the entry, or None."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Write the entry."""
        ...


class NativeStore:
    """Read and write entries of the native store; each call is bounded in time.

    With ``prompt=False`` the store is asked first whether it would have to ask the user, and if
    so the call fails with ``UnavailableError``.

    Raises:
        PluginLoadError: The package ``keyring`` is not installed.
        UnavailableError: There is no such store here, it is locked, or it does not answer.
        PermissionDeniedError: The store refuses.
    """

    def __init__(self, backend: str, *, prompt: bool) -> None:
        self._name = backend_for(sys.platform) if backend == AUTO else backend
        self._prompt = prompt

    @property
    def name(self) -> str:
        """The native store's name, as the option ``backend`` gives it."""
        return self._name

    def check(self) -> None:
        """Do nothing but find out whether the store can be used."""
        self._called(_nothing)

    def read(self, service: str, entry: str) -> str | None:
        """Return the text of an entry, or None where there is none."""
        return self._called(lambda backend: backend.get_password(service, entry))

    def write(self, service: str, entry: str, text: str) -> None:
        """Write an entry."""
        self._called(lambda backend: backend.set_password(service, entry, text))

    def _called(self, call: Callable[[Backend], _Result]) -> _Result:
        # Imported here and not in the thread: a slow disk is no store that hangs.
        make = _backend_class(self._name)
        seconds = SECONDS_WITH_PROMPT if self._prompt else SECONDS
        try:
            return within(seconds, lambda: self._call_checked(make, call))
        except Overdue as exc:
            raise UnavailableError(
                f"the OS keyring ({self._name}) did not answer in time",
                hint="see whether its service hangs, or name another key with --key",
            ) from exc
        except KsmStorageError:
            raise
        except ImportError as exc:
            raise _not_installed() from exc
        # keyring lets through whatever the native library raises.
        except Exception as exc:
            raise translated(exc, self._name) from exc

    def _call_checked(
        self, make: Callable[[], Backend], call: Callable[[Backend], _Result]
    ) -> _Result:
        backend = make()
        prepare(self._name, backend, prompt=self._prompt)
        return call(backend)


def backend_for(platform: str) -> str:
    """Return the native store of a platform, as ``sys.platform`` names it."""
    return {"darwin": MACOS, "win32": WINDOWS}.get(platform, SECRET_SERVICE)


def prepare(name: str, backend: Backend, *, prompt: bool) -> None:
    """Make sure that the store is there and, without ``prompt``, that it will not ask the user.

    Raises:
        UnavailableError: It is not there, or would ask.
    """
    if name == SECRET_SERVICE:
        from .secret_service import refuse_prompting

        if not prompt:
            refuse_prompting(backend)
        return
    # Reading the priority is how keyring finds out whether a back end works here.
    _ = type(backend).priority  # type: ignore[attr-defined]  # every back end of keyring has it
    if name == KWALLET and not prompt:
        raise UnavailableError(
            "KWallet may ask the user, and nobody is there to answer",
            hint="set os-keyring's backend to secret-service, which KWallet offers as well",
        )
    if name == MACOS:
        from .macos_keychain import allow_interaction

        allow_interaction(prompt)


def _nothing(backend: Backend) -> None:
    del backend


def _backend_class(name: str) -> Callable[[], Backend]:
    module, attribute = BACKENDS[name]
    try:
        found: Callable[[], Backend] = getattr(importlib.import_module(module), attribute)
    except ImportError as exc:
        raise _not_installed() from exc
    return found


def _not_installed() -> PluginLoadError:
    return PluginLoadError(
        "the package 'keyring', which os-keyring needs, is not installed",
        hint="install it with: pip install 'ksm-storage[os-keyring]'",
    )

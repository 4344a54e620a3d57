"""The seam to the native stores of other systems, by injection."""

from __future__ import annotations

import ctypes
import gc
import importlib
import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest

from ksm_storage.errors import (
    KsmStorageError,
    PermissionDeniedError,
    UnavailableError,
)
from ksm_storage.providers import native_store
from ksm_storage.providers.native_store import (
    NativeStore,
    allow_interaction,
    backend_for,
    prepare,
    translated,
)
from ksm_storage.providers.os_keyring import may_prompt


@pytest.mark.parametrize(
    ("platform", "backend"),
    [
        ("linux", "secret-service"),
        ("freebsd14", "secret-service"),
        ("darwin", "macos-keychain"),
        ("win32", "windows-credential-locker"),
    ],
)
def test_each_system_has_its_own_store(platform: str, backend: str) -> None:
    assert backend_for(platform) == backend


class Working:
    """A back end that works here."""

    priority: ClassVar[float] = 5

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password


class _Refusing(type):
    @property
    def priority(cls) -> float:
        raise RuntimeError("macOS required, and this text is the library's")


class Refusing(Working, metaclass=_Refusing):
    """A back end that does not work here."""


def use(
    monkeypatch: pytest.MonkeyPatch, backend: Working, *, name: str, prompt: bool
) -> NativeStore:
    monkeypatch.setattr(native_store, "_backend_class", lambda name: lambda: backend)
    return NativeStore(name, prompt=prompt)


def test_the_windows_locker_is_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    store = use(monkeypatch, Working(), name="windows-credential-locker", prompt=False)

    store.write("ksm-storage", "app", "text")

    assert store.read("ksm-storage", "app") == "text"
    assert store.read("ksm-storage", "other") is None


@pytest.mark.parametrize("name", ["macos-keychain", "windows-credential-locker", "kwallet"])
def test_a_store_of_another_system_is_unavailable(name: str) -> None:
    with pytest.raises(UnavailableError, match="no usable OS keyring") as failure:
        NativeStore(name, prompt=True).read("service", "entry")

    assert failure.value.hint


def test_the_library_is_imported_while_the_collector_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    awake: list[bool] = []

    def import_module(name: str) -> object:
        awake.append(gc.isenabled())
        return SimpleNamespace(WinVaultKeyring=Working)

    monkeypatch.setattr(importlib, "import_module", import_module)
    store = NativeStore("windows-credential-locker", prompt=True)

    assert store.read("ksm-storage", "app") is None
    assert awake == [False]
    assert gc.isenabled()


def test_the_librarys_text_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    store = use(monkeypatch, Refusing(), name="windows-credential-locker", prompt=False)

    with pytest.raises(UnavailableError) as failure:
        store.read("service", "entry")

    assert "text" not in str(failure.value)
    assert isinstance(failure.value.__cause__, RuntimeError)


def test_kwallet_is_not_used_where_nobody_could_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match="may prompt"):
        use(monkeypatch, Working(), name="kwallet", prompt=False).read("ksm-storage", "app")

    assert use(monkeypatch, Working(), name="kwallet", prompt=True).read("s", "e") is None


@pytest.mark.parametrize("prompt", [True, False])
def test_the_keychain_is_told_whether_it_may_ask(
    monkeypatch: pytest.MonkeyPatch, prompt: bool
) -> None:
    told: list[bool] = []
    monkeypatch.setattr("ksm_storage.providers.native_store.allow_interaction", told.append)

    prepare("macos-keychain", Working(), prompt=prompt)

    assert told == [prompt]


@pytest.mark.parametrize("allowed", [True, False])
def test_the_security_framework_gets_one_byte(allowed: bool) -> None:
    given: list[ctypes.c_ubyte] = []
    library = SimpleNamespace(SecKeychainSetUserInteractionAllowed=given.append)

    allow_interaction(allowed, load=lambda path: library)  # type: ignore[arg-type,return-value]  # stands for the framework

    assert [byte.value for byte in given] == [int(allowed)]


def error_named(kind: str, **attributes: str) -> Exception:
    error: Exception = type(kind, (Exception,), {})("the library's text")
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (error_named("KeyringLocked"), UnavailableError, "is locked"),
        (error_named("LockedException"), UnavailableError, "is locked"),
        (error_named("PromptDismissedException"), UnavailableError, "is locked"),
        (
            error_named("DBusErrorResponse", name="org.freedesktop.Secret.Error.IsLocked"),
            UnavailableError,
            "is locked",
        ),
        (
            error_named("DBusErrorResponse", name="org.freedesktop.DBus.Error.AccessDenied"),
            PermissionDeniedError,
            "denied",
        ),
        (
            error_named("DBusErrorResponse", name="org.x.Error"),
            UnavailableError,
            "no usable OS keyring",
        ),
        (error_named("PasswordSetError"), PermissionDeniedError, "denied"),
        (error_named("KeyringError"), PermissionDeniedError, "denied"),
        (PermissionError(13, "text"), PermissionDeniedError, "denied"),
        (error_named("InitError"), UnavailableError, "no usable OS keyring"),
        (FileNotFoundError(2, "text"), UnavailableError, "no usable OS keyring"),
        (NameError("text"), UnavailableError, "no usable OS keyring"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_the_libraries_raise_is_translated(
    raised: Exception, kind: type[KsmStorageError], words: str
) -> None:
    error = translated(raised, "secret-service")

    assert type(error) is kind
    assert words in str(error)
    assert error.hint
    assert "text" not in f"{error}{error.hint}"
    # What a library calls its exception tells nobody what to mend.
    assert type(raised).__name__ not in error.message


@pytest.mark.parametrize(
    ("backend", "address", "raised", "words"),
    [
        (
            "secret-service",
            None,
            error_named("NotAvailable"),
            "DBUS_SESSION_BUS_ADDRESS is not set",
        ),
        ("secret-service", "unix:path=/b", FileNotFoundError(), "cannot connect to the D-Bus"),
        (
            "secret-service",
            "unix:path=/b",
            error_named("NotAvailable"),
            "no keyring service answers",
        ),
        ("secret-service", "unix:path=/b", error_named("InitError"), "its collection cannot be"),
        ("kwallet", "unix:path=/b", RuntimeError(), "'dbus-python' is not installed"),
    ],
)
def test_the_reason_for_no_keyring_is_told(
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    address: str | None,
    raised: Exception,
    words: str,
) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)

    assert words in translated(raised, backend).message


@pytest.mark.skipif(sys.platform == "darwin", reason="the keychain is there")
def test_the_keychain_is_said_to_be_of_macos_only() -> None:
    assert "macOS only" in translated(RuntimeError(), "macos-keychain").message


class Stream:
    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("choice", "stdin", "stderr", "expected"),
    [
        ("when-interactive", Stream(True), Stream(True), True),
        ("when-interactive", Stream(False), Stream(True), False),
        ("when-interactive", Stream(True), Stream(False), False),
        ("when-interactive", None, None, False),
        ("never", Stream(True), Stream(True), False),
    ],
)
def test_a_prompt_needs_a_terminal_and_leave(
    monkeypatch: pytest.MonkeyPatch,
    choice: str,
    stdin: Stream | None,
    stderr: Stream | None,
    expected: bool,
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr("sys.stderr", stderr)

    assert may_prompt(choice) is expected

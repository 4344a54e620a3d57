"""The OS keyring as a KEK, against a real Secret Service on a private bus."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import keyring.backends.SecretService
import pytest

from ksm_storage.contract.key_wrapper import Aad, KeyUri, KeyWrapper
from ksm_storage.errors import (
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    KsmStorageError,
    PluginLoadError,
    SettingsError,
    StorageError,
    UnavailableError,
)
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.providers import os_keyring
from ksm_storage.providers.os_keyring import creating
from tests.secret_service_daemon import KeyringDaemon

AAD = Aad({"purpose": "test"})
DEK = bytes(range(32))


def opened(name: str = "app", **settings: object) -> KeyWrapper:
    uri = KeyUri("os-keyring", name)
    options = os_keyring.key_wrapper_options()
    gathered = gather_settings(uri, options, {"os-keyring": settings})
    return os_keyring.open_key_wrapper(name, gathered)


def stored(name: str = "app") -> str | None:
    found: str | None = keyring.backends.SecretService.Keyring().get_password("ksm-storage", name)
    return found


def store(text: str, name: str = "app") -> None:
    keyring.backends.SecretService.Keyring().set_password("ksm-storage", name, text)


def test_what_is_wrapped_is_unwrapped_by_another_wrapper(secret_service: KeyringDaemon) -> None:
    wrapped = opened().wrap(DEK, aad=AAD)

    assert opened().unwrap(wrapped, aad=AAD) == DEK
    assert wrapped.key_id == "app"


def test_the_kek_is_32_bytes_in_base64_under_the_documented_entry(
    secret_service: KeyringDaemon,
) -> None:
    opened().wrap(DEK, aad=AAD)

    assert len(base64.b64decode(stored() or "", validate=True)) == 32


def test_a_second_wrap_uses_the_same_kek(secret_service: KeyringDaemon) -> None:
    opened().wrap(DEK, aad=AAD)
    before = stored()
    opened().wrap(DEK, aad=AAD)

    assert stored() == before


def test_two_names_are_two_keks(secret_service: KeyringDaemon) -> None:
    opened("one").wrap(DEK, aad=AAD)
    opened("two").wrap(DEK, aad=AAD)

    assert stored("one") != stored("two")


def test_an_unwrap_never_makes_a_kek(secret_service: KeyringDaemon) -> None:
    wrapped = opened("one").wrap(DEK, aad=AAD)
    foreign = type(wrapped)("two", wrapped.algorithm, wrapped.ciphertext)

    with pytest.raises(KeyNotFoundError) as failure:
        opened("two").unwrap(foreign, aad=AAD)

    assert failure.value.hint
    assert stored("two") is None


def test_a_kek_that_was_replaced_is_a_decryption_error(secret_service: KeyringDaemon) -> None:
    wrapped = opened().wrap(DEK, aad=AAD)
    store(base64.b64encode(bytes(32)).decode())

    with pytest.raises(DecryptionError):
        opened().unwrap(wrapped, aad=AAD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "é" * 44,
        "!" + base64.b64encode(bytes(32)).decode(),
        base64.b64encode(bytes(31)).decode(),
        base64.b64encode(bytes(33)).decode(),
    ],
)
def test_a_foreign_entry_is_neither_used_nor_replaced(
    secret_service: KeyringDaemon, text: str
) -> None:
    store(text)

    with pytest.raises(KeyStateError) as failure:
        opened().wrap(DEK, aad=AAD)

    assert stored() == text
    assert not text or text not in f"{failure.value}{failure.value.hint}{failure.value.__cause__}"


def test_processes_that_create_at_once_end_with_one_kek(secret_service: KeyringDaemon) -> None:
    processes = [wrapping_process() for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ciphertexts = [base64.b64decode(process.communicate(timeout=30)[0]) for process in processes]

    sample = opened().wrap(DEK, aad=AAD)
    opening = opened()
    for ciphertext in ciphertexts:
        assert opening.unwrap(type(sample)("app", sample.algorithm, ciphertext), aad=AAD) == DEK


def test_a_process_waits_while_another_makes_the_kek(secret_service: KeyringDaemon) -> None:
    process = wrapping_process()
    with creating("app"):
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate("go\n", timeout=1)
        store(base64.b64encode(bytes(32)).decode())
    output = process.communicate(timeout=30)[0]

    sample = opened().wrap(DEK, aad=AAD)
    wrapped = type(sample)("app", sample.algorithm, base64.b64decode(output))
    assert opened().unwrap(wrapped, aad=AAD) == DEK
    assert stored() == base64.b64encode(bytes(32)).decode()


def wrapping_process() -> subprocess.Popen[str]:
    """Start a process that is ready to wrap and does so when it is told."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRAP_WHEN_TOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_store_that_keeps_nothing_is_found_out_at_the_wrap(
    secret_service: KeyringDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        keyring.backends.SecretService.Keyring, "set_password", lambda *arguments: None
    )

    with pytest.raises(KeyStateError, match="did not keep"):
        opened().wrap(DEK, aad=AAD)


def test_a_state_folder_that_cannot_be_made_is_told_before_a_kek_is_made(
    secret_service: KeyringDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))

    with pytest.raises(StorageError, match="for a lock"):
        opened().wrap(DEK, aad=AAD)

    assert stored() is None


def test_a_locked_keyring_is_told_and_not_asked_to_unlock(
    secret_service: KeyringDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    import secretstorage

    wrapped = opened().wrap(DEK, aad=AAD)
    secret_service.lock()
    monkeypatch.setattr(
        secretstorage.Collection, "unlock", lambda self: pytest.fail("it was asked to unlock")
    )

    for call in (lambda: opened().wrap(DEK, aad=AAD), lambda: opened().unwrap(wrapped, aad=AAD)):
        with pytest.raises(UnavailableError, match="is locked") as failure:
            call()
        assert failure.value.hint
        assert failure.value.retryable


def test_a_keyring_that_is_locked_after_the_check_is_not_asked_to_unlock(
    secret_service: KeyringDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    import secretstorage

    wrapped = opened().wrap(DEK, aad=AAD)
    is_locked = secretstorage.Collection.is_locked

    def lock_then(collection: secretstorage.Collection) -> bool:
        found = is_locked(collection)
        secret_service.lock()
        return found

    monkeypatch.setattr(secretstorage.Collection, "is_locked", lock_then)
    monkeypatch.setattr(
        secretstorage.Item, "unlock", lambda self: pytest.fail("it was asked to unlock")
    )

    with pytest.raises(UnavailableError, match="is locked"):
        opened().unwrap(wrapped, aad=AAD)


def test_a_locked_keyring_may_be_unlocked_where_a_user_is_there_to_answer(
    secret_service: KeyringDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    import secretstorage

    asked: list[object] = []
    opened().wrap(DEK, aad=AAD)
    secret_service.lock()
    monkeypatch.setattr(secretstorage.Collection, "unlock", lambda self: asked.append(self))
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stderr", Terminal())

    # Nobody unlocks it here, so that keyring reports the prompt as dismissed.
    with pytest.raises(UnavailableError, match="is locked"):
        opened().wrap(DEK, aad=AAD)

    assert asked


def test_a_keyring_without_collection_is_told_and_none_is_made(
    private_bus: str, tmp_path: Path
) -> None:
    daemon = KeyringDaemon(tmp_path, private_bus, unlock=False)
    try:
        with pytest.raises(UnavailableError, match="no default collection") as failure:
            opened().wrap(DEK, aad=AAD)
    finally:
        daemon.close()

    assert failure.value.hint


def test_a_bus_without_a_secret_service_is_told(private_bus: str) -> None:
    with pytest.raises(UnavailableError, match="no usable OS keyring") as failure:
        opened().wrap(DEK, aad=AAD)

    assert failure.value.hint


@pytest.mark.parametrize(
    "address", [None, "", "unix:path=/nonexistent/bus", "tcp:host=127.0.0.1,port=9", "nonsense"]
)
def test_a_machine_without_a_session_bus_is_told(
    monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    if address is not None:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)

    with pytest.raises(UnavailableError) as failure:
        opened().wrap(DEK, aad=AAD)

    assert failure.value.hint
    with pytest.raises(UnavailableError, match="no usable OS keyring"):
        os_keyring.has_key("default")


def test_a_service_that_hangs_is_given_up_within_two_seconds(secret_service: KeyringDaemon) -> None:
    opened().wrap(DEK, aad=AAD)

    with secret_service.hanging():
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="did not answer"):
            opened().wrap(DEK, aad=AAD)
        waited = time.monotonic() - started

    assert waited < 2.0


@pytest.fixture
def silent_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Listen as a bus does, take every connection and never say a word."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0ksm-storage-test-{threading.get_native_id()}")
        listener.listen()
        name = listener.getsockname().decode().lstrip("\0")
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:abstract={name}")
        yield


def test_a_bus_that_hangs_is_given_up_within_two_seconds(silent_bus: None) -> None:
    started = time.monotonic()
    with pytest.raises(UnavailableError, match=r"did not answer|no usable"):
        os_keyring.has_key("default")
    waited = time.monotonic() - started

    assert waited < 2.0


def test_asking_for_a_key_leaves_nothing_in_the_keyring(
    secret_service: KeyringDaemon,
) -> None:
    import secretstorage

    assert not os_keyring.has_key("default")
    connection = secretstorage.dbus_init()
    assert list(secretstorage.get_collection_by_alias(connection, "default").get_all_items()) == []
    connection.close()


def test_a_key_that_was_made_is_found_under_its_name(secret_service: KeyringDaemon) -> None:
    opened().wrap(DEK, aad=AAD)

    assert os_keyring.has_key("app")
    assert not os_keyring.has_key("another")


def test_a_locked_keyring_is_not_usable(secret_service: KeyringDaemon) -> None:
    secret_service.lock()

    with pytest.raises(UnavailableError, match="is locked"):
        os_keyring.has_key("default")


def test_an_unknown_backend_is_a_settings_error_and_not_an_unusable_keyring() -> None:
    with pytest.raises(SettingsError):
        os_keyring.has_key(
            "default", {"os-keyring": {"backend": "keyrings.alt.file.PlaintextKeyring"}}
        )


def test_a_backend_of_a_third_party_is_never_chosen(
    private_bus: str, monkeypatch: pytest.MonkeyPatch, private_home: Path
) -> None:
    import keyrings.alt.file

    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyrings.alt.file.PlaintextKeyring")
    before = sorted(private_home.rglob("*"))

    with pytest.raises(UnavailableError):
        opened().wrap(DEK, aad=AAD)

    # The store of plain text is installed, works here, and is what keyring itself would take.
    assert isinstance(keyring.get_keyring(), keyrings.alt.file.PlaintextKeyring)
    made = [path for path in private_home.rglob("*") if path.is_file() and path not in before]
    assert made == []


@pytest.mark.parametrize("module", ["keyring", "keyring.backends.SecretService", "secretstorage"])
def test_a_missing_keyring_package_is_told_with_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    # Set to itself, so that it is put back: the import below replaces it.
    monkeypatch.setattr(keyring.backends, "SecretService", keyring.backends.SecretService)
    monkeypatch.delitem(sys.modules, "keyring.backends.SecretService")
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(PluginLoadError) as failure:
        opened().wrap(DEK, aad=AAD)

    assert failure.value.hint == "install it with: pip install keyring"
    with pytest.raises(PluginLoadError):
        os_keyring.has_key("default")


@pytest.mark.parametrize("name", ["a", "app", "prod_1.eu-west", "A" * 64])
def test_a_safe_name_opens_without_asking_the_store(name: str) -> None:
    assert opened(name).binds_aad


@pytest.mark.parametrize("name", ["-a", ".a", "a/b", "a" * 65, "a%20b", "a:b", "a\n"])
def test_another_name_is_refused(name: str) -> None:
    options = os_keyring.key_wrapper_options()
    settings = gather_settings(KeyUri("os-keyring", "any"), options)

    with pytest.raises(SettingsError, match="not a valid name"):
        os_keyring.open_key_wrapper(name, settings)


def test_nothing_of_the_kek_is_in_an_error(secret_service: KeyringDaemon) -> None:
    wrapped = opened().wrap(DEK, aad=AAD)
    kek = stored() or ""
    damaged = type(wrapped)("app", wrapped.algorithm, wrapped.ciphertext[:-1] + b"\0")

    with pytest.raises(KsmStorageError) as failure:
        opened().unwrap(damaged, aad=AAD)

    assert kek not in repr(failure.value.as_dict())


_WRAP_WHEN_TOLD = """
import base64, sys
from ksm_storage.contract.key_wrapper import Aad
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.providers import os_keyring
from ksm_storage.keys.setting_sources import gather_settings

uri = KeyUri("os-keyring", "app")
settings = gather_settings(uri, os_keyring.key_wrapper_options())
wrapper = os_keyring.open_key_wrapper("app", settings)
print("ready", flush=True)
sys.stdin.readline()
wrapped = wrapper.wrap(bytes(range(32)), aad=Aad({"purpose": "test"}))
print(base64.b64encode(wrapped.ciphertext).decode())
"""


class Terminal:
    """A stream that says somebody is there."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass

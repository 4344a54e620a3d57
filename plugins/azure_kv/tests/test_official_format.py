"""Files that Keeper's own package made under a key in a vault move into envelopes."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from keeper_secrets_manager_storage import storage_azure_keyvault as official_package
from ksm_storage_azure_kv.hooks import Access, key_wrapper_options
from ksm_storage_azure_kv.transport import make_transport
from ksm_storage_emulators.azure_key_vault.keys import KeyVersion
from ksm_storage_emulators.azure_key_vault.vaults import Vault

import ksm_storage
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import (
    DecryptionError,
    KeyStateError,
    KsmStorageError,
    PermissionDeniedError,
)
from ksm_storage.keys.setting_sources import gather_settings

from .emulated_vault import EmulatedVault
from .opening import open_kek

CONFIG = {"clientId": "CLIENT", "hostname": "keepersecurity.eu", "privateKey": "PRIVATE"}


class Sealed(NamedTuple):
    vault: Vault
    made: KeyVersion
    content: bytes

    @property
    def version(self) -> str:
        """The URL of the version that sealed it."""
        return self.made.kid

    @property
    def key(self) -> str:
        """The URL without the version."""
        return self.made.kid.rpartition("/")[0]


@pytest.fixture(scope="module")
def already_sealed() -> dict[str, Sealed]:
    """Keep the file over the tests: to make an RSA key takes time."""
    return {}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.json"


@pytest.fixture
def sealed(
    emulator: EmulatedVault,
    already_sealed: dict[str, Sealed],
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Sealed:
    """Let our settings lead to the emulator, and write a file of the official package."""
    for name, value in emulator.settings.items():
        monkeypatch.setenv(f"KSM_STORAGE_AZURE_KV_{name.upper()}", str(value))
    if "file" not in already_sealed:
        vault = emulator.new_vault()
        made = emulator.new_key(vault, name="app")
        content = _sealed_under(made.kid, path, emulator, monkeypatch)
        already_sealed["file"] = Sealed(vault, made, content)
    path.write_bytes(already_sealed["file"].content)
    return already_sealed["file"]


def _sealed_under(
    kid: str, path: Path, emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch
) -> bytes:
    uri = KeyUri("azure-kv", kid)
    settings = gather_settings(uri, key_wrapper_options(), {"azure-kv": emulator.settings})
    transport = make_transport(kid.split("/")[2], Access.from_settings(settings))
    # The package is unchanged; what it takes from Azure's client is sent to the emulator.
    for name, more in {
        "CryptographyClient": {},
        "ClientSecretCredential": {"authority": emulator.url, "disable_instance_discovery": True},
    }.items():
        redirected = partial(getattr(official_package, name), transport=transport, **more)
        monkeypatch.setattr(official_package, name, redirected)
    application = emulator.service.administrator
    session = official_package.AzureSessionConfig(
        emulator.service.directory.tenant_id, application.principal.client_id, application.secret
    )
    path.write_text(json.dumps(CONFIG))
    official_package.AzureKeyValueStorage(kid, str(path), session)
    content = path.read_bytes()
    assert content.startswith(b"\xff\xff")
    return content


def test_protect_moves_a_file_of_the_official_package(sealed: Sealed, path: Path) -> None:
    done = ksm_storage.protect(path, [f"azure-kv://{sealed.version}"])

    assert done.form.value == "official"
    assert ksm_storage.open_storage(path).read_storage() == CONFIG


@pytest.mark.parametrize("name", ["version", "key"])
def test_open_storage_moves_a_file_of_the_official_package(
    sealed: Sealed, path: Path, name: str
) -> None:
    storage = ksm_storage.open_storage(path, keys=[getattr(sealed, name)])

    assert storage.read_storage() == CONFIG
    assert path.read_bytes().startswith(b"ksm-storage envelope v1\n")


def test_the_old_key_need_not_be_the_new_one(
    sealed: Sealed, path: Path, emulator: EmulatedVault
) -> None:
    other = emulator.new_key(emulator.shared_hsm()).kid

    ksm_storage.protect(path, [other], from_key=sealed.version)

    assert ksm_storage.open_storage(path, keys=[other]).read_storage() == CONFIG


def test_a_file_opens_after_a_rotation_with_the_version_alone(
    sealed: Sealed, path: Path, emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = sealed.vault.keys["app"]
    monkeypatch.setattr(key, "versions", list(key.versions))
    emulator.new_key(sealed.vault, name="app")

    with pytest.raises(DecryptionError):
        ksm_storage.protect(path, [sealed.key])
    assert path.read_bytes() == sealed.content
    ksm_storage.protect(path, [sealed.key], from_key=sealed.version)

    assert ksm_storage.open_storage(path).read_storage() == CONFIG


def test_another_key_leaves_the_file_as_it_was(
    sealed: Sealed, path: Path, emulator: EmulatedVault
) -> None:
    vault = emulator.shared_vault()

    with pytest.raises(DecryptionError):
        ksm_storage.protect(path, [emulator.shared_key(vault, "other").kid])

    assert path.read_bytes() == sealed.content


@pytest.mark.parametrize(
    ("fault", "kind"), [("denied", PermissionDeniedError), ("disabled", KeyStateError)]
)
def test_a_refused_key_leaves_the_file_as_it_was(
    sealed: Sealed, path: Path, emulator: EmulatedVault, fault: str, kind: type[Exception]
) -> None:
    with emulator.provoked(fault, sealed.made, sealed.vault), pytest.raises(kind):
        ksm_storage.protect(path, [sealed.version])

    assert path.read_bytes() == sealed.content


def test_a_reply_from_another_key_leaves_the_file_as_it_was(
    sealed: Sealed, path: Path, emulator: EmulatedVault
) -> None:
    with (
        emulator.provoked("another key", sealed.made, sealed.vault),
        pytest.raises(DecryptionError, match="decrypted with the key"),
    ):
        ksm_storage.protect(path, [sealed.version])

    assert path.read_bytes() == sealed.content


# The length of the wrapped key, one byte in its middle, the last one of the file.
@pytest.mark.parametrize("position", [3, 40, -1])
def test_damage_leaves_the_file_as_it_was(sealed: Sealed, path: Path, position: int) -> None:
    damaged = bytearray(sealed.content)
    damaged[position] ^= 1
    path.write_bytes(damaged)

    with pytest.raises(KsmStorageError):
        ksm_storage.protect(path, [sealed.version])

    assert path.read_bytes() == bytes(damaged)


@pytest.mark.parametrize("length", [0, 255, 257])
def test_an_impossible_length_is_refused_without_a_call(
    emulator: EmulatedVault, length: int
) -> None:
    key = emulator.shared_key(emulator.shared_vault(), "other").kid
    emulator.emulator.transcript.reset()

    with (
        open_kek(key, emulator.settings) as kek,
        pytest.raises(DecryptionError, match="length"),
    ):
        kek.decrypt_official(bytes(length))

    assert emulator.emulator.transcript.calls() == {}

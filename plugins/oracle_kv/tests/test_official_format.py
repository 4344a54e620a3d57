"""Files that Keeper's own package made under a key of an OCI vault move into envelopes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from keeper_secrets_manager_storage_oracle_kms.oci_session_config import OCISessionConfig
from keeper_secrets_manager_storage_oracle_kms.oracle_key_value_storage import (
    OracleKeyValueStorage,
)

import ksm_storage
from ksm_storage.errors import (
    DecryptionError,
    KeyStateError,
    KsmStorageError,
    PermissionDeniedError,
)

from .emulated_vault import EmulatedVault
from .opening import open_kek

CONFIG = {"clientId": "CLIENT", "hostname": "keepersecurity.eu", "privateKey": "PRIVATE"}
# The vault's word for the shape of a key, and our option's value for it.
OPTIONS = {"AES": "AES_256_GCM", "RSA": "RSA_OAEP_SHA_256"}

both_shapes = pytest.mark.parametrize("shape", OPTIONS)


class Official:
    """Make files with the official package against the emulator, under one key of each shape."""

    def __init__(
        self, vault: EmulatedVault, config_file: Path, sealed: dict[str, tuple[str, bytes]]
    ) -> None:
        self._session = OCISessionConfig(str(config_file), "DEFAULT", vault.url, vault.url)
        self._vault = vault
        self._sealed = sealed

    def sealed(self, shape: str, path: Path) -> str:
        """Write a file under a key of the shape, and return the key."""
        if shape not in self._sealed:
            self._sealed[shape] = self.newly_sealed(shape, path)
        key, content = self._sealed[shape]
        path.write_bytes(content)
        return key

    def newly_sealed(self, shape: str, path: Path) -> tuple[str, bytes]:
        """Write a file under a new key; return the key and the content."""
        key = self._vault.create_key(algorithm=shape)
        path.write_text(json.dumps(CONFIG))
        OracleKeyValueStorage(key, None, str(path), self._session, None)
        content = path.read_bytes()
        assert content.startswith(b"\xff\xff")
        return key, content


def settings_for(shape: str) -> dict[str, dict[str, object]]:
    return {"oracle-kv": {"algorithm": OPTIONS[shape]}}


@pytest.fixture(scope="module")
def already_sealed() -> dict[str, tuple[str, bytes]]:
    """Keep the files over the tests: to make RSA keys takes time."""
    return {}


@pytest.fixture
def official(
    emulator: EmulatedVault,
    config_file: Path,
    already_sealed: dict[str, tuple[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> Official:
    monkeypatch.setenv("KSM_STORAGE_ORACLE_KV_ENDPOINT", emulator.url)
    return Official(emulator, config_file, already_sealed)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.json"


@both_shapes
def test_protect_moves_a_file_of_the_official_package(
    official: Official, path: Path, shape: str
) -> None:
    key = official.sealed(shape, path)

    done = ksm_storage.protect(path, [f"oracle-kv://{key}"], settings=settings_for(shape))

    assert done.form.value == "official"
    assert ksm_storage.open_storage(path).read_storage() == CONFIG


@both_shapes
def test_open_storage_moves_a_file_of_the_official_package(
    official: Official, path: Path, shape: str
) -> None:
    key = official.sealed(shape, path)

    storage = ksm_storage.open_storage(path, keys=[key], settings=settings_for(shape))

    assert storage.read_storage() == CONFIG
    assert path.read_bytes().startswith(b"ksm-storage envelope v1\n")


@both_shapes
def test_the_old_key_need_not_be_the_new_one(
    official: Official, path: Path, emulator: EmulatedVault, shape: str
) -> None:
    old = f"oracle-kv://{official.sealed(shape, path)}"
    new = f"oracle-kv://{emulator.create_key()}"

    ksm_storage.protect(path, [new], from_key=old, settings={old: {"algorithm": OPTIONS[shape]}})

    assert ksm_storage.open_storage(path, keys=[new]).read_storage() == CONFIG


def test_a_file_under_an_aes_key_opens_after_a_rotation(
    official: Official, path: Path, emulator: EmulatedVault
) -> None:
    key, _ = official.newly_sealed("AES", path)
    emulator.rotate(key)

    ksm_storage.protect(path, [key])

    assert ksm_storage.open_storage(path).read_storage() == CONFIG


def test_a_file_under_an_rsa_key_opens_after_a_rotation_with_the_version_alone(
    official: Official, path: Path, emulator: EmulatedVault
) -> None:
    key, content = official.newly_sealed("RSA", path)
    found = emulator.service.vault.find(key)
    assert found is not None
    version = found.current.ocid
    emulator.rotate(key)
    settings = settings_for("RSA")

    with pytest.raises(DecryptionError):
        ksm_storage.protect(path, [key], settings=settings)
    assert path.read_bytes() == content
    ksm_storage.protect(path, [key], from_key=f"{key}/{version}", settings=settings)

    assert ksm_storage.open_storage(path).read_storage() == CONFIG


@both_shapes
def test_another_key_leaves_the_file_as_it_was(
    official: Official, path: Path, emulator: EmulatedVault, shape: str
) -> None:
    official.sealed(shape, path)
    before = path.read_bytes()
    other = emulator.create_key(algorithm=shape)

    with pytest.raises(DecryptionError):
        ksm_storage.protect(path, [other], settings=settings_for(shape))

    assert path.read_bytes() == before


@both_shapes
@pytest.mark.parametrize(
    ("fault", "kind"), [("denied", PermissionDeniedError), ("disabled", KeyStateError)]
)
def test_a_refused_key_leaves_the_file_as_it_was(
    official: Official,
    path: Path,
    emulator: EmulatedVault,
    shape: str,
    fault: str,
    kind: type[Exception],
) -> None:
    key = official.sealed(shape, path)
    before = path.read_bytes()

    with emulator.provoked(fault, key), pytest.raises(kind):
        ksm_storage.protect(path, [key], settings=settings_for(shape))

    assert path.read_bytes() == before


# The length of the wrapped key, one byte in its middle, the last one of the file.
@both_shapes
@pytest.mark.parametrize("position", [3, 40, -1])
def test_damage_leaves_the_file_as_it_was(
    official: Official, path: Path, shape: str, position: int
) -> None:
    key = official.sealed(shape, path)
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 1
    path.write_bytes(damaged)

    with pytest.raises(KsmStorageError):
        ksm_storage.protect(path, [key], settings=settings_for(shape))

    assert path.read_bytes() == bytes(damaged)


@pytest.mark.parametrize("length", [0, 4097])
def test_an_impossible_length_is_refused_without_a_call(
    emulator: EmulatedVault, length: int
) -> None:
    with (
        open_kek(emulator.create_key(), emulator.url) as kek,
        pytest.raises(DecryptionError, match="must be 1 to 4096"),
    ):
        kek.decrypt_official(bytes(length))

    assert emulator.calls() == 0


def test_a_reply_from_another_key_is_refused(
    official: Official, path: Path, emulator: EmulatedVault
) -> None:
    key = official.sealed("AES", path)
    before = path.read_bytes()

    with (
        emulator.provoked("wrong key", key),
        pytest.raises(DecryptionError, match="another key than"),
    ):
        ksm_storage.protect(path, [key])

    assert path.read_bytes() == before

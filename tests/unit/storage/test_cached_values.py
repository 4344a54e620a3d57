"""A storage that cannot be written keeps what a client only caches, and refuses the rest."""

from __future__ import annotations

import base64
import errno
import logging
import os
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.errors import StorageError
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from tests.unit.storage.fixtures import CONFIG


def unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system refuse every file that is opened to be written, as a read-only mount does."""
    really = os.open

    def opened(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return really(path, flags, mode)

    monkeypatch.setattr(os, "open", opened)


@pytest.fixture(params=["variable", "file"])
def storage(
    request: pytest.FixtureRequest, sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> EncryptedStorage:
    """Give a configuration in a variable, or in a file that cannot be written."""
    if request.param == "variable":
        text = base64.b64encode(sealed.read_bytes()).decode()
        monkeypatch.setenv("KSM_STORAGE_CONFIG", text)
        return ksm_storage.open_storage()
    storage = ksm_storage.open_storage(sealed)
    unwritable(monkeypatch)
    return storage


def test_the_id_of_the_servers_key_is_kept_in_memory(storage: EncryptedStorage) -> None:
    assert storage.set("serverPublicKeyId", "17")["serverPublicKeyId"] == "17"

    assert storage.get("serverPublicKeyId") == "17"
    assert storage.read_storage() == {**CONFIG, "serverPublicKeyId": "17"}


def test_it_is_reported_once_and_without_the_value(
    storage: EncryptedStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="ksm_storage.storage"):
        for number in ("17", "16", "15"):
            storage.set("serverPublicKeyId", number)

    (record,) = caplog.records
    assert "serverPublicKeyId cannot be saved and is kept in memory: " in record.getMessage()


def test_everything_else_is_refused(storage: EncryptedStorage) -> None:
    with pytest.raises(StorageError):
        storage.set("privateKey", "other")
    with pytest.raises(StorageError):
        storage.apply(lambda config: config.update(serverPublicKeyId="17", hostname="other"))
    with pytest.raises(StorageError):
        storage.delete_all()

    assert storage.read_storage() == CONFIG


def test_it_is_saved_with_the_next_change_that_can_be(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = ksm_storage.open_storage(sealed)
    with monkeypatch.context() as patched:
        unwritable(patched)
        storage.set("serverPublicKeyId", "17")

    storage.set("serverPublicKeyId", "16")

    assert ksm_storage.open_storage(sealed).get("serverPublicKeyId") == "16"
    assert storage.get("serverPublicKeyId") == "16"

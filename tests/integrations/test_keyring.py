"""The keyring backend passes keyring's own tests, and keeps nothing in plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keyring.backend
import pytest
from keyring.errors import InitError, KeyringError
from keyring.testing.backend import BackendBasicTests

import ksm_storage
from ksm_storage.integrations.keyring import FILE_VARIABLE, KEYS_VARIABLE, SealedKeyring
from tests.unit.storage.fixtures import new_key


@pytest.fixture(autouse=True)
def sealed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a file for the passwords, and the key for it, in the environment."""
    path = tmp_path / "passwords.sealed"
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    monkeypatch.setenv(KEYS_VARIABLE, new_key(tmp_path / "k"))
    return path


class TestSealedKeyring(BackendBasicTests):
    """keyring's own tests."""

    def init_keyring(self) -> SealedKeyring:
        return SealedKeyring()


def test_passwords_are_sealed_and_read_again(sealed_file: Path) -> None:
    SealedKeyring().set_password("a service", "a user", "correct horse")

    content = sealed_file.read_text()

    assert content.startswith("ksm-storage")
    assert not [word for word in ("correct horse", "a service", "a user") if word in content]
    assert SealedKeyring().get_password("a service", "a user") == "correct horse"


def test_other_values_of_the_file_are_no_passwords(sealed_file: Path) -> None:
    sealed = SealedKeyring()
    sealed.set_password("s", "u", "p")
    ksm_storage.open_storage(sealed_file).set("hostname", "s")

    found = sealed.get_credential("s", None)

    assert found is not None
    assert (found.username, found.password) == ("u", "p")


def test_it_is_chosen_where_a_file_is_named() -> None:
    assert SealedKeyring.viable
    assert isinstance(max(keyring.backend.get_all_keyring(), key=by_priority), SealedKeyring)


def by_priority(backend: Any) -> float:
    return float(backend.priority)


def test_it_is_no_choice_where_none_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)

    assert not SealedKeyring.viable
    with pytest.raises(InitError, match=FILE_VARIABLE):
        SealedKeyring().get_password("s", "u")


def test_what_goes_wrong_with_the_file_is_an_error_of_keyring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "nothing"))
    monkeypatch.delenv(KEYS_VARIABLE)

    with pytest.raises(KeyringError, match="does not exist"):
        SealedKeyring().get_password("s", "u")

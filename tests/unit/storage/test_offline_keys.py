"""A recovery key beside another: added without its secret, asked last, and never the only one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.errors import (
    DecryptionError,
    KeyNotFoundError,
    PermissionDeniedError,
    SettingsError,
)
from ksm_storage.providers.recovery_key import RecoveryKey
from ksm_storage.providers.recovery_secret import words_of
from tests.unit.storage.fixtures import CONFIG, write_plain
from tests.unit.storage.planted import Counted

SECRET = os.urandom(32)
KEY = RecoveryKey.of("office", SECRET)
RECOVERY = f"recovery://{KEY.public_id}"
RECORDED = f"recovery://{KEY.key_id}"
WORDS = {"recovery": {"words": " ".join(words_of(SECRET))}}
OTHER_WORDS = {"recovery": {"words": " ".join(words_of(bytes(32)))}}


def test_it_is_added_without_its_secret_and_said_not_to_be_proved(sealed: Path) -> None:
    done = ksm_storage.rewrap(sealed, add=[RECOVERY])

    assert done.added == done.unproven == (RECORDED,)
    assert ksm_storage.open_storage(sealed, keys=[RECOVERY], settings=WORDS).get("hostname")


def test_with_its_secret_it_is_proved(sealed: Path) -> None:
    assert ksm_storage.rewrap(sealed, add=[RECOVERY], settings=WORDS).unproven == ()


def test_a_new_dek_is_proved_with_its_secret(sealed: Path) -> None:
    ksm_storage.rewrap(sealed, add=[RECOVERY])

    assert ksm_storage.rekey(sealed, settings=WORDS).unproven == ()


def test_a_key_beside_it_is_proved_as_ever(sealed: Path, counted: Counted) -> None:
    before = sealed.read_bytes()

    with pytest.raises(PermissionDeniedError, match="wrap and not unwrap"):
        ksm_storage.rewrap(sealed, add=[RECOVERY, "counted://wrap-only"])

    assert sealed.read_bytes() == before


def test_another_secret_is_found_out(sealed: Path) -> None:
    before = sealed.read_bytes()

    with pytest.raises(DecryptionError, match="does not belong to 'office'"):
        ksm_storage.rewrap(sealed, add=[RECOVERY], settings=OTHER_WORDS)

    assert sealed.read_bytes() == before


def test_a_new_dek_is_wrapped_for_it_without_its_secret(sealed: Path) -> None:
    ksm_storage.rewrap(sealed, add=[RECOVERY])

    done = ksm_storage.rekey(sealed)

    assert done.unproven == (RECORDED,)
    assert ksm_storage.open_storage(sealed, keys=[RECOVERY], settings=WORDS).get("hostname")


def test_a_plain_file_is_protected_under_it_and_another(folder: Path, key: str) -> None:
    path = write_plain(folder / "c")

    ksm_storage.protect(path, [RECOVERY, key])

    assert ksm_storage.open_storage(path).read_storage() == CONFIG


def test_a_plain_file_is_not_protected_under_it_with_another_secret(folder: Path, key: str) -> None:
    plain = write_plain(folder / "c")
    before = plain.read_bytes()

    with pytest.raises(DecryptionError, match="does not belong to 'office'"):
        ksm_storage.protect(plain, [key, RECOVERY], settings=OTHER_WORDS)

    assert plain.read_bytes() == before


def test_it_is_asked_after_every_other_key(folder: Path, counted: Counted) -> None:
    keys = [RECOVERY, "counted://one"]
    ksm_storage.open_storage(folder / "c", keys=keys).set("hostname", "h")
    counted.calls.clear()

    ksm_storage.open_storage(folder / "c", settings=WORDS)

    assert counted.calls == [("unwrap", "one")]


def test_without_its_secret_it_opens_nothing(sealed: Path) -> None:
    ksm_storage.rewrap(sealed, add=[RECOVERY])

    with pytest.raises(KeyNotFoundError, match="is not given"):
        ksm_storage.open_storage(sealed, keys=[RECOVERY])


def test_no_file_is_left_to_it_alone(sealed: Path, folder: Path, key: str) -> None:
    ksm_storage.rewrap(sealed, add=[RECOVERY])
    plain = write_plain(folder / "plain")
    before = sealed.read_bytes(), plain.read_bytes()

    with pytest.raises(SettingsError, match="only recovery keys would open the file"):
        ksm_storage.rewrap(sealed, remove=[key])
    with pytest.raises(SettingsError, match="only recovery keys would open the file"):
        ksm_storage.rekey(sealed, add=[RECOVERY], remove=[key])
    with pytest.raises(SettingsError, match="only recovery keys would open the file"):
        ksm_storage.protect(plain, [RECOVERY])

    assert (sealed.read_bytes(), plain.read_bytes()) == before

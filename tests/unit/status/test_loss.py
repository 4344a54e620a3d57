"""Which files a destroyed key takes along."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from ksm_storage.contract.abilities import KeyDescription, KeyState
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import DecryptionError, KeyNotFoundError, SettingsError, UnavailableError
from ksm_storage.status.key_loss import KeyLossImpact, is_lost_by
from tests.unit.status.planted_status import KEY, file_status, recipient_status

OTHER = KEY.replace("/one", "/two")
AZURE = "azure-kv://https://acme.vault.azure.net/keys/app"
# The plugin knows which part of the name is the version.
NEEDS_AZURE = pytest.mark.skipif(
    find_spec("ksm_storage_azure_kv") is None, reason="the plugin azure-kv is not installed"
)
FIRST, SECOND = AZURE + "/" + "1" * 32, AZURE + "/" + "2" * 32


def destruction(uri: str, version: str | None = None) -> KeyLossImpact:
    return KeyLossImpact(KeyUri.parse(uri), version)


def test_the_only_key_takes_the_file_along() -> None:
    assert is_lost_by(destruction(KEY), file_status(recipient_status(KEY)))


def test_a_key_whose_name_merely_begins_alike_does_not() -> None:
    assert not is_lost_by(destruction(KEY), file_status(recipient_status(KEY + "2")))


def test_another_key_saves_the_file() -> None:
    status = file_status(recipient_status(KEY), recipient_status(OTHER))

    assert not is_lost_by(destruction(KEY), status)


@pytest.mark.parametrize(
    ("state", "lost"),
    [
        ("enabled", False),
        ("disabled", False),
        ("unusable", False),
        ("unknown", False),
        ("pending-deletion", True),
        ("destroyed", True),
    ],
)
def test_another_key_counts_only_if_it_will_open_again(state: KeyState, lost: bool) -> None:
    other = recipient_status(OTHER, description=KeyDescription("two", state))

    assert is_lost_by(destruction(KEY), file_status(recipient_status(KEY), other)) is lost


def test_a_key_that_is_not_found_saves_nothing_and_one_out_of_reach_does() -> None:
    gone = recipient_status(OTHER, problem=KeyNotFoundError("no such key"))
    away = recipient_status(OTHER, problem=UnavailableError("out of reach"))

    assert is_lost_by(destruction(KEY), file_status(recipient_status(KEY), gone))
    assert not is_lost_by(destruction(KEY), file_status(recipient_status(KEY), away))


def test_a_recipient_that_its_key_does_not_unwrap_saves_nothing() -> None:
    other = recipient_status(
        OTHER, description=KeyDescription("two", "enabled"), problem=DecryptionError("altered")
    )

    assert is_lost_by(destruction(KEY), file_status(recipient_status(KEY), other))


@NEEDS_AZURE
def test_a_recipient_without_version_is_no_answer_about_one_version() -> None:
    with pytest.raises(SettingsError, match="is unknown"):
        is_lost_by(destruction(FIRST), file_status(recipient_status(AZURE)))


@NEEDS_AZURE
def test_a_version_is_destroyed_alone_and_a_key_with_all_of_them() -> None:
    first, second = file_status(recipient_status(FIRST)), file_status(recipient_status(SECOND))

    assert is_lost_by(destruction(FIRST), first)
    assert not is_lost_by(destruction(FIRST), second)
    assert is_lost_by(destruction(AZURE), first)
    assert is_lost_by(destruction(AZURE), second)


def test_key_material_that_the_name_does_not_show_is_told_apart() -> None:
    old = file_status(recipient_status(KEY, version="old"))
    new = file_status(recipient_status(KEY, version="new"))

    assert is_lost_by(destruction(KEY, "old"), old)
    assert not is_lost_by(destruction(KEY, "old"), new)


def test_a_version_that_is_not_known_is_no_answer() -> None:
    with pytest.raises(SettingsError, match="is unknown"):
        is_lost_by(destruction(KEY, "old"), file_status(recipient_status(KEY)))

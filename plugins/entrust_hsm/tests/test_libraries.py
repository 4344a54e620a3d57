"""The library and the login: what settings allow."""

from __future__ import annotations

import pytest

from ksm_storage.errors import (
    KeyNotFoundError,
    SettingsError,
)

from .interposer import Interposer
from .opening import AAD, DEK, ONE, open_kek

pytestmark = pytest.mark.usefixtures("soft_token")


def test_opening_calls_no_library(interposer: Interposer) -> None:
    open_kek(ONE).close()

    assert not interposer.calls


def test_a_key_of_a_slot_without_login_is_used(interposer: Interposer) -> None:
    with open_kek("token=ksm;object=open", login="none") as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK

    assert interposer.calls["C_Login"] == 0


def test_a_private_key_does_not_show_without_a_login() -> None:
    with open_kek(ONE, login="none") as kek, pytest.raises(KeyNotFoundError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert "login" in str(caught.value.hint)


@pytest.mark.parametrize(
    "module", ["libsofthsm2.so", "/nonexistent.so", "/etc/passwd", "/x\0", "/\ud800"]
)
def test_a_library_that_cannot_be_loaded_is_a_wrong_setting(module: str) -> None:
    with pytest.raises(SettingsError), open_kek(ONE, module=module) as kek:
        kek.wrap(DEK, aad=AAD)


def test_a_library_that_is_not_named_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="'module'"):
        open_kek(ONE, module=None)

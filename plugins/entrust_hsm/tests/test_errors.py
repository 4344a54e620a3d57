"""One test for each return value, and those that SoftHSM gives by itself."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from ksm_storage_entrust_hsm.cryptoki import LOST, PIN_REFUSED, CryptokiError
from ksm_storage_entrust_hsm.errors import (
    DECRYPTING,
    DECRYPTION_VALUES,
    NAMES,
    RETURN_VALUES,
    translated,
)

from ksm_storage.errors import (
    AuthenticationError,
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    KsmStorageError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)
from ksm_storage.plugin import ErrorRule

from .interposer import Interposer
from .opening import AAD, DEK, ONE, open_kek

# Written down a second time, so that a slip in the table is seen.
EXPECTED: dict[type[KsmStorageError], str] = {
    UnavailableError: "001 002 003 005 006 030 032 050 090 091 0B0 0B3 0E0 0E1 190",
    ThrottledError: "031 0B1 201",
    KeyNotFoundError: "060 082 0F0 113",
    AuthenticationError: "0A0 0A1 0A2 0A3 0A4 101 102 103 104 105 0B8",
    PermissionDeniedError: "01B 200",
    KeyStateError: "062 063 068 0F1 0F2 114 115 203",
    ProviderError: "007 010 011 012 013 020 021 054 069 06A 070 071 0B5 0D0 0D1 0E2 150",
    SettingsError: "009 00A",
}
ROWS = [(int(code, 16), kind) for kind, codes in EXPECTED.items() for code in codes.split()]
DAMAGE = [0x05, 0x06, 0x07, 0x20, 0x21, 0x40, 0x41, 0x42, 0x110, 0x112, 0x150]


def _codes(rules: Mapping[str, ErrorRule]) -> set[int]:
    return {code for code, name in NAMES.items() if name in rules}


def test_every_row_of_the_table_is_tested() -> None:
    assert {code for code, _ in ROWS} == _codes(RETURN_VALUES)
    assert set(DAMAGE) == _codes(DECRYPTION_VALUES)
    assert set(NAMES) == {code for code, _ in ROWS} | set(DAMAGE)


def test_a_library_that_fails_to_start_points_to_its_configuration() -> None:
    error = translated(CryptokiError("C_Initialize", 0x05), "key")

    assert "cannot be initialized (C_Initialize: CKR_GENERAL_ERROR)" in error.message
    assert "SOFTHSM2_CONF" in str(error.hint)
    assert error.retryable


@pytest.mark.parametrize(("code", "kind"), ROWS, ids=[f"{code:#x}" for code, _ in ROWS])
def test_a_return_value_is_its_documented_error(
    interposer: Interposer, code: int, kind: type[KsmStorageError]
) -> None:
    with (
        interposer.answering(C_EncryptInit=code),
        open_kek(ONE) as kek,
        pytest.raises(KsmStorageError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert type(caught.value) is kind
    assert f"CKR_{NAMES[code]}" in caught.value.message
    assert caught.value.hint
    assert isinstance(caught.value.__cause__, CryptokiError)


@pytest.mark.parametrize("code", DAMAGE, ids=hex)
@pytest.mark.parametrize("function", sorted(DECRYPTING))
def test_no_particular_value_is_relied_upon_for_damage(function: str, code: int) -> None:
    error = translated(CryptokiError(function, code), "key")

    assert type(error) is DecryptionError
    for cause in ("another key", "another context", "altered data"):
        assert cause in error.message


@pytest.mark.parametrize("code", [0x05, 0x06])
def test_a_value_that_may_also_be_a_failure_says_so(code: int) -> None:
    assert "or the token failed" in translated(CryptokiError("C_Decrypt", code), "key").message


@pytest.mark.parametrize("code", [0x05, 0x06])
def test_the_same_value_where_nothing_is_decrypted_is_a_failure(code: int) -> None:
    assert type(translated(CryptokiError("C_DecryptInit", code), "key")) is UnavailableError


@pytest.mark.parametrize(("code", "words"), [(0x80000123, "vendor-defined"), (0x7FF, "unknown")])
def test_a_value_that_is_not_in_the_table_is_shown(code: int, words: str) -> None:
    error = translated(CryptokiError("C_Encrypt", code), "key")

    assert type(error) is ProviderError
    assert words in error.message
    assert f"{code:#x}" in error.message


def test_a_lost_session_and_a_refused_pin_are_not_mixed_up() -> None:
    assert not LOST & PIN_REFUSED
    assert set(LOST) | PIN_REFUSED <= _codes(RETURN_VALUES)


@pytest.mark.usefixtures("soft_token")
def test_damage_in_a_real_token_names_all_its_causes() -> None:
    with open_kek(ONE) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        with pytest.raises(DecryptionError) as caught:
            kek.unwrap(wrapped, aad=type(AAD)({}))

    for cause in ("another key", "another context", "altered data", "token failed"):
        assert cause in caught.value.message
    assert caught.value.key == "pkcs11://token=ksm;object=one"


@pytest.mark.usefixtures("soft_token")
def test_a_key_that_may_not_encrypt_is_a_key_state_in_a_real_token() -> None:
    key = "token=ksm;object=wrap-one"

    with open_kek(key, mechanism="CKM_AES_GCM") as kek, pytest.raises(KeyStateError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert "CKR_KEY_FUNCTION_NOT_PERMITTED" in caught.value.message

"""One token and one key: none and more than one are refused."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_ulong
from typing import Any

import pytest
from ksm_storage_entrust_hsm import cryptoki as ck
from ksm_storage_entrust_hsm.cryptoki import template
from ksm_storage_entrust_hsm.hooks import CKK_AES

from ksm_storage.errors import (
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    KsmStorageError,
    ProviderError,
    UnavailableError,
)
from ksm_storage.plugin import WrappedDek

from .interposer import Interposer, once
from .opening import AAD, DEK, ONE, open_kek

pytestmark = pytest.mark.usefixtures("soft_token")

RSA_SHA1 = "CKM_RSA_PKCS_OAEP/SHA-1"


def _wrapped(key: str, **settings: object) -> WrappedDek:
    with open_kek(key, **settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        assert kek.unwrap(wrapped, aad=AAD) == DEK
        return wrapped


@pytest.mark.parametrize(
    "key",
    [
        "token=ksm;object=one",
        "token=ksm;id=%01",
        "object=one;token=ksm",
        "token=ksm;manufacturer=SoftHSM%20project;model=SoftHSM%20v2;object=one;id=%01",
        "token=ksm;object=spare%20%3Bkey;id=%AB;type=secret-key",
    ],
)
def test_a_key_is_found_by_attributes_of_its_token_and_of_itself(key: str) -> None:
    assert _wrapped(key).key_id.startswith("token=ksm;")


def test_the_name_of_a_key_that_is_recorded_has_token_label_id_and_type() -> None:
    assert _wrapped("token=ksm;id=%01").key_id == "token=ksm;object=one;id=%01;type=secret-key"


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("token=absent;object=one", UnavailableError, "token not found: 'token=absent'"),
        ("serial=absent;object=one", UnavailableError, "token not found"),
        ("token=ksm;model=absent;object=one", UnavailableError, "token not found"),
        ("token=same;object=one", KeyNotFoundError, "2 tokens"),
        ("object=one", KeyNotFoundError, "[345] tokens"),
        ("token=ksm;object=absent", KeyNotFoundError, "key not found on"),
        ("token=ksm;object=one;id=%02", KeyNotFoundError, "key not found on"),
        ("token=ksm;object=one;type=private", KeyNotFoundError, "key not found on"),
        ("token=ksm;object=twin", KeyNotFoundError, "several keys"),
        ("token=ksm;object=useless", KeyStateError, "no mechanism of the token"),
    ],
)
def test_none_and_more_than_one_are_refused(
    key: str, error: type[KsmStorageError], message: str
) -> None:
    with open_kek(key) as kek, pytest.raises(error, match=message) as caught:
        kek.wrap(DEK, aad=AAD)

    assert type(caught.value) is error


@pytest.mark.parametrize("code", [0x05, 0x30, 0xE0, 0xE1])
def test_a_slot_that_fails_does_not_hide_the_token_in_another(
    interposer: Interposer, code: int
) -> None:
    with (
        interposer.answering(C_GetTokenInfo=once(code)),
        open_kek("token=same;object=one") as kek,
        pytest.raises(KsmStorageError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    # Two tokens have the label: whichever slot failed, at least one was seen.
    assert isinstance(caught.value, KeyNotFoundError)


@pytest.mark.parametrize("code", [0x05, 0x30])
def test_a_token_that_cannot_be_read_for_a_moment_is_asked_once_more(
    interposer: Interposer, code: int
) -> None:
    asked: set[object] = set()

    def at_first(real: Callable[..., int], slot: object, *rest: object) -> int:
        number = getattr(slot, "value", slot)
        if number in asked:
            return int(real(slot, *rest))
        asked.add(number)
        return code

    with interposer.answering(C_GetTokenInfo=at_first), open_kek(ONE) as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_a_token_that_cannot_be_read_is_an_error_that_says_why(interposer: Interposer) -> None:
    with (
        interposer.answering(C_GetTokenInfo=0x05),
        open_kek(ONE) as kek,
        pytest.raises(UnavailableError, match="C_GetTokenInfo: CKR_GENERAL_ERROR") as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert "C_GetTokenInfo" in str(caught.value.__cause__)
    assert caught.value.retryable
    # Twice all slots, and no more.
    assert interposer.calls["C_GetTokenInfo"] <= 14


def test_an_object_of_a_session_does_not_count(interposer: Interposer) -> None:
    number = c_ulong()
    impostor: dict[int, bytes | bool | int] = {
        ck.CKA_CLASS: ck.CKO_SECRET_KEY,
        ck.CKA_KEY_TYPE: CKK_AES,
        ck.CKA_LABEL: b"one",
        ck.CKA_VALUE: bytes(32),
        ck.CKA_TOKEN: False,
    }
    with open_kek("token=ksm;object=two") as other, open_kek(ONE) as kek:
        other.wrap(DEK, aad=AAD)
        session = other._wrapper._session._open  # type: ignore[attr-defined]
        session.module.call("C_CreateObject", session.handle, *template(impostor), byref(number))

        assert kek.wrap(DEK, aad=AAD).key_id == "token=ksm;object=one;id=%01;type=secret-key"


def test_a_token_that_the_library_missed_at_its_start_is_looked_for_once_more(
    interposer: Interposer,
) -> None:
    missed = iter([None, None])

    def slots(real: Any, present: int, numbers: Any, count: Any) -> int:
        code = int(real(present, numbers, count))
        if next(missed, True) is None:
            count.contents.value = 0
        return code

    # A process that is the first to initialise the library, and has it for itself.
    with (
        interposer.answering(C_Initialize=0, C_Finalize=0, C_GetSlotList=slots),
        open_kek(ONE) as kek,
    ):
        kek.wrap(DEK, aad=AAD)

        with open_kek("token=absent;object=one") as other, pytest.raises(UnavailableError):
            other.wrap(DEK, aad=AAD)

    # Not again for a name that is wrong: sessions are open by then.
    assert interposer.calls["C_Finalize"] == 1


def test_an_id_tells_keys_of_one_label_apart() -> None:
    assert _wrapped("token=ksm;object=twin;id=%07").key_id.endswith("id=%07;type=secret-key")


def test_a_hint_lists_the_tokens_that_are_there() -> None:
    with open_kek("token=absent;object=one") as kek, pytest.raises(UnavailableError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert "'ksm'" in str(caught.value.hint)


def test_what_a_serial_found_is_opened_by_the_serial_alone() -> None:
    with open_kek("token=same;object=one") as kek, pytest.raises(KeyNotFoundError) as caught:
        kek.wrap(DEK, aad=AAD)
    serial = str(caught.value.hint).split("'")[1]

    # The token has that serial, and no key.
    with open_kek(f"serial={serial};object=one") as kek, pytest.raises(KeyNotFoundError) as other:
        kek.wrap(DEK, aad=AAD)
    assert "key not found on" in other.value.message


@pytest.mark.parametrize(
    "recorded",
    [
        "token=ksm;object=one;id=%02;type=secret-key",
        "token=ksm;object=one;id=%01;type=private",
        "token=ksm;serial=other;object=one;id=%01;type=secret-key",
    ],
)
def test_a_recorded_key_that_is_not_the_one_found_is_refused_before_the_token_decrypts(
    interposer: Interposer, recorded: str
) -> None:
    altered = _wrapped(ONE)._replace(key_id=recorded)
    before = interposer.calls["C_Decrypt"]

    with (
        open_kek("object=one;token=ksm") as kek,
        pytest.raises(DecryptionError, match="was wrapped by"),
    ):
        kek.unwrap(altered, aad=AAD)

    assert interposer.calls["C_Decrypt"] == before


@pytest.mark.parametrize(
    "change",
    [
        {"key_id": "token=ksm;object=two;id=%02;type=secret-key"},
        {"key_id": "token=ksm;object=one?module-path=/tmp/x.so"},
        {"algorithm": "CKM_AES_CBC"},
        {"ciphertext": b""},
        {"ciphertext": bytes(61)},
    ],
    ids=["another key", "no name of a key", "another algorithm", "empty", "too long"],
)
def test_what_cannot_be_its_own_is_refused_without_a_call(
    interposer: Interposer, change: dict[str, Any]
) -> None:
    altered = _wrapped(ONE)._replace(**change)
    interposer.calls.clear()

    with open_kek(ONE) as kek, pytest.raises(DecryptionError):
        kek.unwrap(altered, aad=AAD)

    assert not interposer.calls


def test_a_mechanism_that_takes_no_such_key_is_refused_before_the_token_decrypts(
    interposer: Interposer,
) -> None:
    altered = _wrapped(ONE)._replace(algorithm=RSA_SHA1)
    interposer.calls.clear()

    with open_kek(ONE) as kek, pytest.raises(DecryptionError, match="does not work with"):
        kek.unwrap(altered, aad=AAD)

    assert not interposer.calls["C_DecryptInit"]


@pytest.mark.parametrize(
    ("key", "options", "algorithm"),
    [
        (ONE, {}, "CKM_AES_GCM"),
        (ONE, {"iv": "client"}, "CKM_AES_GCM"),
        ("token=ksm;object=wrap-one", {}, "CKM_AES_KEY_WRAP_PAD"),
        ("token=ksm;object=rsa-one", {"mechanism": RSA_SHA1}, RSA_SHA1),
    ],
)
def test_the_exact_mechanism_is_recorded(
    key: str, options: dict[str, object], algorithm: str
) -> None:
    assert _wrapped(key, **options).algorithm == algorithm


def test_rsa_is_wrapped_with_sha_256_and_not_silently_with_sha_1() -> None:
    with open_kek("token=ksm;object=rsa-one") as kek, pytest.raises(ProviderError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert "SHA-1" in str(caught.value.hint)


def test_what_was_wrapped_with_sha_1_opens_without_the_option() -> None:
    recorded = _wrapped("token=ksm;object=rsa-one", mechanism=RSA_SHA1)

    with open_kek("token=ksm;object=rsa-one") as kek:
        assert kek.unwrap(recorded, aad=AAD) == DEK


def test_a_pair_without_its_public_half_cannot_wrap() -> None:
    with open_kek("token=ksm;object=half") as kek, pytest.raises(KeyStateError, match="public key"):
        kek.wrap(DEK, aad=AAD)


def test_a_pair_with_two_public_halves_cannot_wrap() -> None:
    key = "token=ksm;object=doubled"

    with open_kek(key, mechanism=RSA_SHA1) as kek, pytest.raises(KeyStateError, match="public key"):
        kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize(
    ("key", "mechanism"),
    [("token=ksm;object=one", RSA_SHA1), ("token=ksm;object=rsa-one", "CKM_AES_GCM")],
)
def test_a_mechanism_of_another_kind_of_key_is_refused(key: str, mechanism: str) -> None:
    with open_kek(key, mechanism=mechanism) as kek, pytest.raises(KeyStateError, match="type"):
        kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize(
    ("key", "binds"),
    [(ONE, True), ("token=ksm;object=wrap-one", False), ("token=ksm;object=rsa-one", False)],
)
def test_only_aes_gcm_is_said_to_bind_the_aad(key: str, binds: bool) -> None:
    with open_kek(key) as kek:
        assert kek.binds_aad is binds

"""One session for a process: shared, and renewed once."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest
from ksm_storage_entrust_hsm import cryptoki as ck
from ksm_storage_entrust_hsm.cryptoki import LOST, Module

from ksm_storage.errors import (
    AuthenticationError,
    KeyNotFoundError,
    KeyStateError,
    KsmStorageError,
    ThrottledError,
    UnavailableError,
)

from .interposer import Interposer, once
from .opening import AAD, DEK, ONE, open_kek
from .soft_token import BRIEF, LIBRARY, OTHER, SoftToken

pytestmark = pytest.mark.usefixtures("soft_token")

TWO = "token=ksm;object=two"


def test_all_keys_of_a_token_share_one_session_and_each_is_looked_up_once(
    interposer: Interposer,
) -> None:
    with open_kek(ONE) as one, open_kek(TWO) as two, open_kek(ONE) as again:
        for kek in (one, two, again, one, two):
            kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD)

    calls = interposer.calls
    assert calls["C_Initialize"] == calls["C_OpenSession"] == calls["C_Login"] == 1
    # A key is looked for among the secret and among the private keys.
    assert calls["C_FindObjectsInit"] == 2 * 2
    assert calls["C_CloseSession"] == 1


def test_the_session_ends_with_the_last_key_that_uses_it(interposer: Interposer) -> None:
    one, two = open_kek(ONE), open_kek(TWO)
    one.wrap(DEK, aad=AAD)
    two.wrap(DEK, aad=AAD)

    one.close()
    one.close()
    assert interposer.calls["C_CloseSession"] == 0
    two.close()

    assert interposer.calls["C_CloseSession"] == 1


def test_a_closed_key_wrapper_can_be_used_again(interposer: Interposer) -> None:
    kek = open_kek(ONE)
    kek.wrap(DEK, aad=AAD)
    kek.close()

    kek.wrap(DEK, aad=AAD)
    kek.close()

    assert interposer.calls["C_OpenSession"] == interposer.calls["C_CloseSession"] == 2


def test_closing_logs_no_other_part_of_the_process_out(interposer: Interposer) -> None:
    with open_kek(ONE) as kek:
        kek.wrap(DEK, aad=AAD)

    assert "C_Logout" not in ck.FUNCTIONS
    assert interposer.calls["C_CloseSession"] == 1


@pytest.mark.parametrize("code", sorted(LOST), ids=hex)
def test_a_lost_session_is_renewed_once(interposer: Interposer, code: int) -> None:
    with open_kek(ONE) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        with interposer.answering(C_DecryptInit=once(code)):
            assert kek.unwrap(wrapped, aad=AAD) == DEK

    assert interposer.calls["C_OpenSession"] == 2


@pytest.mark.parametrize("code", sorted(LOST), ids=hex)
def test_a_session_that_is_lost_again_is_an_error(interposer: Interposer, code: int) -> None:
    with open_kek(ONE) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        before = interposer.calls["C_DecryptInit"]
        with interposer.answering(C_DecryptInit=code), pytest.raises(KsmStorageError):
            kek.unwrap(wrapped, aad=AAD)

    assert interposer.calls["C_DecryptInit"] - before == 2


def test_a_failure_in_a_new_session_is_not_repeated(interposer: Interposer) -> None:
    with (
        interposer.answering(C_EncryptInit=0xB3),
        open_kek(ONE) as kek,
        pytest.raises(UnavailableError),
    ):
        kek.wrap(DEK, aad=AAD)

    assert interposer.calls["C_EncryptInit"] == 1


def test_an_altered_dek_does_not_renew_the_session(interposer: Interposer) -> None:
    with open_kek(ONE) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        with pytest.raises(KsmStorageError):
            kek.unwrap(wrapped, aad=type(AAD)({}))

    assert interposer.calls["C_OpenSession"] == 1


def test_a_real_session_that_was_closed_behind_our_back_is_renewed(interposer: Interposer) -> None:
    def closes(real: Callable[..., int], session: int, *rest: object) -> int:
        kek._wrapper._session._module.call("C_CloseSession", session)  # type: ignore[attr-defined]
        del interposer.answers["C_DecryptInit"]
        return int(real(session, *rest))

    with open_kek(ONE) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        interposer.answers["C_DecryptInit"] = closes
        assert kek.unwrap(wrapped, aad=AAD) == DEK


def test_a_token_that_ends_no_operation_when_it_fails_is_in_nobodys_way(
    interposer: Interposer,
) -> None:
    # SoftHSM has begun to decrypt, and is not called to the end.
    with open_kek(ONE) as kek, open_kek(TWO) as other:
        wrapped = kek.wrap(DEK, aad=AAD)
        with interposer.answering(C_Decrypt=0x31), pytest.raises(ThrottledError):
            kek.unwrap(wrapped, aad=AAD)

        other.wrap(DEK, aad=AAD)
        assert kek.unwrap(wrapped, aad=AAD) == DEK


def test_an_interrupted_operation_is_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object) -> bytes:
        raise KeyboardInterrupt

    with open_kek(ONE) as kek, open_kek(TWO) as other:
        wrapped = kek.wrap(DEK, aad=AAD)
        with monkeypatch.context() as patch:
            patch.setattr(Module, "output_of", interrupted)
            with pytest.raises(KeyboardInterrupt):
                kek.unwrap(wrapped, aad=AAD)

        other.wrap(DEK, aad=AAD)
        assert kek.unwrap(wrapped, aad=AAD) == DEK


def test_a_key_that_was_disabled_when_first_seen_wraps_once_it_is_enabled(
    soft_token: SoftToken,
) -> None:
    with open_kek(ONE) as other, open_kek("token=ksm;object=switched") as kek:
        other.wrap(DEK, aad=AAD)
        soft_token.switch("switched", on=False)
        with pytest.raises(KeyStateError):
            kek.wrap(DEK, aad=AAD)
        soft_token.switch("switched", on=True)

        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_a_key_that_was_deleted_meanwhile_is_not_found(soft_token: SoftToken) -> None:
    with open_kek("token=ksm;object=doomed") as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        soft_token.delete_key("doomed")

        with pytest.raises(KeyNotFoundError):
            kek.unwrap(wrapped, aad=AAD)


def test_a_token_that_vanished_is_looked_for_once_and_reported(
    soft_token: SoftToken, interposer: Interposer
) -> None:
    with open_kek(f"token={BRIEF};object=one") as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        soft_token.delete(BRIEF)

        with pytest.raises((KeyNotFoundError, UnavailableError)):
            kek.unwrap(wrapped, aad=AAD)

    assert interposer.calls["C_OpenSession"] <= 2


def test_another_pin_does_not_use_the_login_of_the_right_one(interposer: Interposer) -> None:
    with open_kek(ONE) as kek, open_kek(ONE, pin="another") as intruder:
        wrapped = kek.wrap(DEK, aad=AAD)
        for _ in range(2):
            with pytest.raises(AuthenticationError, match="another PIN"):
                intruder.unwrap(wrapped, aad=AAD)

    assert interposer.calls["C_Login"] == 1


def _finalised() -> None:
    """Finalise the library as another user of it in this process may."""
    assert LIBRARY is not None
    assert ctypes.CDLL(LIBRARY).C_Finalize(None) == ck.CKR_OK


def test_a_library_that_another_user_finalised_is_initialised_again(
    interposer: Interposer,
) -> None:
    with open_kek(ONE) as kek, open_kek(f"token={OTHER};object=one") as other:
        wrapped, others = kek.wrap(DEK, aad=AAD), other.wrap(DEK, aad=AAD)
        _finalised()

        assert kek.unwrap(wrapped, aad=AAD) == DEK
        # Its session's number is by now that of the session above, in another token.
        assert other.unwrap(others, aad=AAD) == DEK
        assert other.wrap(DEK, aad=AAD).key_id == others.key_id

    assert interposer.calls["C_Initialize"] == 2


def test_a_key_that_is_first_used_after_another_user_finalised_is_used(
    interposer: Interposer,
) -> None:
    with open_kek(ONE) as kek:
        kek.wrap(DEK, aad=AAD)
    _finalised()

    with open_kek(TWO) as kek:
        kek.wrap(DEK, aad=AAD)

    assert interposer.calls["C_Login"] == 2

"""The login: a PIN is tried once, and shown nowhere."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from ksm_storage_entrust_hsm import cryptoki as ck
from ksm_storage_entrust_hsm.cryptoki import Module
from ksm_storage_entrust_hsm.key_names import KeyName
from ksm_storage_entrust_hsm.keys import find_token

from ksm_storage.cli.output import echo_error
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.doctor.examination import examine_key
from ksm_storage.errors import (
    AuthenticationError,
    KsmStorageError,
    UnavailableError,
)

from .interposer import Interposer, once
from .opening import AAD, DEK, ONE, open_kek
from .soft_token import LIBRARY, PIN

pytestmark = pytest.mark.usefixtures("soft_token")

WRONG = "canary-wrong-pin"
PIN_COUNT_LOW = 0x10000


def test_a_wrong_pin_is_tried_once_in_a_process(interposer: Interposer) -> None:
    for key in (ONE, ONE, "token=ksm;object=two"):
        with open_kek(key, pin=WRONG) as kek:
            for _ in range(2):
                with pytest.raises(AuthenticationError):
                    kek.wrap(DEK, aad=AAD)

    assert interposer.calls["C_Login"] == 1


def test_a_wrong_pin_leaves_the_tokens_counter_as_one_attempt_does() -> None:
    with (
        open_kek(ONE, pin=WRONG) as kek,
        pytest.raises(AuthenticationError, match="rejected the PIN"),
    ):
        kek.wrap(DEK, aad=AAD)
    assert _flags() & PIN_COUNT_LOW
    assert not _flags() & ck.CKF_USER_PIN_LOCKED

    # The right one is another PIN, and is tried.
    with open_kek(ONE) as kek:
        kek.wrap(DEK, aad=AAD)
    assert not _flags() & PIN_COUNT_LOW


def test_a_refused_pin_leaves_no_session_behind(interposer: Interposer) -> None:
    with open_kek(ONE, pin=WRONG) as kek, pytest.raises(AuthenticationError):
        kek.wrap(DEK, aad=AAD)

    assert interposer.calls["C_OpenSession"] == interposer.calls["C_CloseSession"] == 1


@pytest.mark.parametrize("code", [0x30, 0x32, 0xB3, 0xE0, 0x190])
def test_a_login_that_fails_otherwise_is_not_repeated_either(
    interposer: Interposer, code: int
) -> None:
    with (
        interposer.answering(C_Login=code),
        open_kek(ONE) as kek,
        pytest.raises(KsmStorageError),
    ):
        kek.wrap(DEK, aad=AAD)

    assert interposer.calls["C_Login"] == 1


def test_the_right_pin_is_tried_again_after_a_failure_that_was_not_its_own(
    interposer: Interposer,
) -> None:
    with interposer.answering(C_Login=once(0x30)), open_kek(ONE) as kek:
        for attempt in ("fails", "works"):
            with contextlib.suppress(KsmStorageError):
                kek.wrap(DEK, aad=AAD)
                assert attempt == "works"

    assert interposer.calls["C_Encrypt"] == 1


def test_a_token_that_another_part_of_the_process_logged_in_to_is_used(
    interposer: Interposer,
) -> None:
    def logged_in(real: Callable[..., int], *arguments: object) -> int:
        real(*arguments)
        return ck.CKR_USER_ALREADY_LOGGED_IN

    with interposer.answering(C_Login=logged_in), open_kek(ONE) as kek:
        kek.wrap(DEK, aad=AAD)


def test_a_user_with_a_password_goes_to_the_token_as_it_is(interposer: Interposer) -> None:
    sent: list[bytes] = []

    def login(real: object, session: int, user: int, pin: object, length: int) -> int:
        sent.append(bytes(pin[:length]))  # type: ignore[index]
        return 0xA0

    with (
        interposer.answering(C_Login=login),
        open_kek(ONE, pin="crypto-user:pässword") as kek,
        pytest.raises(AuthenticationError),
    ):
        kek.wrap(DEK, aad=AAD)

    assert sent == ["crypto-user:pässword".encode()]


def test_neither_pin_nor_dek_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        open_kek(ONE, pin=WRONG) as kek,
        pytest.raises(AuthenticationError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.as_dict())
    shown += repr(vars(kek)) + caplog.text
    shown += repr(kek._wrapper._access)  # type: ignore[attr-defined]
    assert "canary" not in shown
    assert repr(DEK) not in shown


def test_no_pin_stands_among_the_arguments_or_the_environment_of_a_child() -> None:
    with open_kek(ONE) as kek:
        kek.wrap(DEK, aad=AAD)
        ran = subprocess.run(["env"], capture_output=True, text=True, check=True, timeout=10)

    assert PIN not in ran.stdout


def _flags() -> int:
    assert LIBRARY is not None
    module = Module(LIBRARY)
    module.initialise()
    return find_token(module, KeyName(token="ksm")).flags


def test_a_token_with_a_pin_pad_is_asked_without_a_pin(interposer: Interposer) -> None:
    sent: list[tuple[bool, int]] = []

    def shown(real: Callable[..., int], slot: int, info: Any) -> int:
        code = real(slot, info)
        info.contents.flags |= ck.CKF_PROTECTED_AUTHENTICATION_PATH
        return code

    def login(real: object, session: int, user: int, pin: Any, length: int) -> int:
        sent.append((bool(pin), length))
        return 0xA0

    with (
        interposer.answering(C_GetTokenInfo=shown, C_Login=login),
        open_kek(ONE, prompt="when-interactive") as kek,
        pytest.raises(AuthenticationError),
    ):
        kek.wrap(DEK, aad=AAD)

    assert sent == [(False, 0)]


@pytest.mark.parametrize("code", [0x05, 0x102])
def test_a_token_to_which_another_process_writes_is_logged_in_to_again(
    interposer: Interposer, code: int
) -> None:
    with interposer.answering(C_Login=once(code)), open_kek(ONE) as kek:
        kek.wrap(DEK, aad=AAD)

    assert interposer.calls["C_Login"] == 2


def test_a_token_of_another_maker_is_sent_a_pin_once(interposer: Interposer) -> None:
    def shown(real: Any, slot: int, info: Any) -> int:
        code = int(real(slot, info))
        info.contents.manufacturer[:4] = b"ACME"
        return code

    with (
        interposer.answering(C_GetTokenInfo=shown, C_Login=0x05),
        open_kek(ONE) as kek,
        pytest.raises(UnavailableError),
    ):
        kek.wrap(DEK, aad=AAD)

    assert interposer.calls["C_Login"] == 1


def test_doctor_reports_a_rejected_pin_once() -> None:
    settings = {"module": LIBRARY, "pin": f"{WRONG}-at-doctor"}

    found = examine_key(KeyUri("pkcs11", ONE), {"pkcs11": settings})

    assert [problem.message for problem in found.problems] == [
        "the token rejected the PIN (C_Login: CKR_PIN_INCORRECT)"
    ]


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_rejected_pin_is_not_to_be_sent_once_more_by_doctor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_kek(ONE, pin=f"{WRONG}-shown") as kek, pytest.raises(AuthenticationError) as caught:
        kek.wrap(DEK, aad=AAD)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    echo_error(caught.value, as_json=False)

    assert "correct the PIN" in terminal.getvalue()
    assert "doctor" not in terminal.getvalue()

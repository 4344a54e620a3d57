"""What the token is handed, and what of its output is believed."""

from __future__ import annotations

import pytest
from ksm_storage_entrust_hsm import key_wrapper

from ksm_storage.errors import (
    ProviderError,
)
from ksm_storage.plugin import WrappedDek

from .interposer import Interposer, writes_iv
from .opening import AAD, DEK, ONE, open_kek
from .soft_token import SoftToken

pytestmark = pytest.mark.usefixtures("soft_token")

RSA_SHA1 = "CKM_RSA_PKCS_OAEP/SHA-1"


def _wrapped(key: str, **settings: object) -> WrappedDek:
    with open_kek(key, **settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        assert kek.unwrap(wrapped, aad=AAD) == DEK
        return wrapped


def test_the_iv_that_the_token_wrote_is_recorded(interposer: Interposer) -> None:
    written = bytes(range(100, 112))

    with interposer.answering(C_EncryptInit=writes_iv(written)):
        recorded = _wrapped(ONE, iv="hsm")

    assert recorded.ciphertext[:12] == written


def test_the_token_writes_its_iv_into_no_bytes_of_python(
    interposer: Interposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = bytes.fromhex("000102030405060708090a0b")
    monkeypatch.setattr(key_wrapper, "fresh_iv", lambda: ours)

    with interposer.answering(C_EncryptInit=writes_iv(b"\xff" * 12)):
        recorded = _wrapped(ONE)

    # bytes are immutable to Python, not to a C library that is given their address.
    assert ours.hex() == "000102030405060708090a0b"
    assert recorded.ciphertext[:12] == b"\xff" * 12


def test_a_token_that_makes_no_iv_of_its_own_is_refused() -> None:
    with (
        open_kek(ONE, iv="hsm") as kek,
        pytest.raises(ProviderError, match="did not generate an IV"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_token_that_appends_its_iv_is_refused(interposer: Interposer) -> None:
    def longer(real: object, session: int, data: object, size: int, out: object, n: object) -> int:
        code = real(session, data, size, out, n)  # type: ignore[operator]
        n.contents.value += 16  # type: ignore[attr-defined]
        return int(code)

    with (
        interposer.answering(C_Encrypt=longer),
        open_kek(ONE) as kek,
        pytest.raises(ProviderError, match="64 bytes, but"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_no_dek_is_left_in_the_session_by_a_wrap_of_an_object(interposer: Interposer) -> None:
    _wrapped("token=ksm;object=wrap-one")

    calls = interposer.calls
    assert calls["C_CreateObject"] + calls["C_UnwrapKey"] == calls["C_DestroyObject"] == 2


def test_another_implementation_decrypts_what_was_wrapped(soft_token: SoftToken) -> None:
    gcm, rsa = _wrapped(ONE), _wrapped("token=ksm;object=rsa-one", mechanism=RSA_SHA1)

    assert soft_token.decrypted("one", "gcm", gcm.ciphertext, bytes(AAD)) == DEK
    assert soft_token.decrypted("rsa-one", "oaep", rsa.ciphertext, b"") == DEK

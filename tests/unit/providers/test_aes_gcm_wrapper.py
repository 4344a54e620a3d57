"""AES-256-GCM under a KEK that this process holds."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage.contract.key_wrapper import Aad, KeyWrapper, WrappedDek
from ksm_storage.errors import DecryptionError, KeyNotFoundError
from ksm_storage.providers.aes_gcm_wrapper import AesGcmWrapper

AAD = Aad({"envelope": "one", "purpose": "test"})
DEK = bytes(range(32))
KEK = b"\x07" * 32


def wrapper(kek: bytes = KEK, key_id: str = "app") -> AesGcmWrapper:
    return AesGcmWrapper(key_id, for_wrap=lambda: kek, for_unwrap=lambda: kek, kept_in={})


def test_it_is_a_key_wrapper_that_binds_the_aad() -> None:
    assert isinstance(wrapper(), KeyWrapper)
    assert wrapper().binds_aad


def test_what_is_wrapped_is_unwrapped() -> None:
    assert wrapper().unwrap(wrapper().wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_the_layout_is_nonce_ciphertext_tag_under_plain_aes_gcm() -> None:
    wrapped = wrapper().wrap(DEK, aad=AAD)

    assert len(wrapped.ciphertext) == 12 + 32 + 16
    assert wrapped.algorithm == "AES-256-GCM"
    nonce, sealed = wrapped.ciphertext[:12], wrapped.ciphertext[12:]
    assert AESGCM(KEK).decrypt(nonce, sealed, bytes(AAD)) == DEK


def test_no_nonce_is_used_twice() -> None:
    nonces = {wrapper().wrap(DEK, aad=AAD).ciphertext[:12] for _ in range(100)}

    assert len(nonces) == 100


def test_another_kek_is_a_decryption_error() -> None:
    wrapped = wrapper().wrap(DEK, aad=AAD)

    with pytest.raises(DecryptionError):
        wrapper(b"\x08" * 32).unwrap(wrapped, aad=AAD)


@pytest.mark.parametrize(
    "aad", [Aad({}), Aad({"envelope": "one"}), Aad({"envelope": "two", "purpose": "test"})]
)
def test_another_aad_is_a_decryption_error(aad: Aad) -> None:
    wrapped = wrapper().wrap(DEK, aad=AAD)

    with pytest.raises(DecryptionError):
        wrapper().unwrap(wrapped, aad=aad)


@pytest.mark.parametrize("position", range(60))
def test_a_changed_byte_is_a_decryption_error(position: int) -> None:
    wrapped = wrapper().wrap(DEK, aad=AAD)
    damaged = bytearray(wrapped.ciphertext)
    damaged[position] ^= 1

    with pytest.raises(DecryptionError):
        wrapper().unwrap(wrapped._replace(ciphertext=bytes(damaged)), aad=AAD)


@pytest.mark.parametrize("length", [0, 1, 11, 12, 27, 28, 59])
def test_a_short_ciphertext_is_a_decryption_error(length: int) -> None:
    wrapped = wrapper().wrap(DEK, aad=AAD)

    with pytest.raises(DecryptionError):
        wrapper().unwrap(wrapped._replace(ciphertext=wrapped.ciphertext[:length]), aad=AAD)


def test_an_unknown_algorithm_is_a_decryption_error() -> None:
    wrapped = wrapper().wrap(DEK, aad=AAD)._replace(algorithm="AES-128-CBC")

    with pytest.raises(DecryptionError, match="AES-128-CBC"):
        wrapper().unwrap(wrapped, aad=AAD)


def test_a_dek_of_another_key_id_is_refused_before_the_kek_is_read() -> None:
    wrapped = wrapper(key_id="other").wrap(DEK, aad=AAD)
    mine = AesGcmWrapper("app", for_wrap=_missing, for_unwrap=_missing, kept_in={})

    with pytest.raises(DecryptionError, match="another key"):
        mine.unwrap(wrapped, aad=AAD)


def test_a_ciphertext_too_short_is_refused_before_the_kek_is_read() -> None:
    mine = AesGcmWrapper("app", for_wrap=_missing, for_unwrap=_missing, kept_in={})

    with pytest.raises(DecryptionError, match="too short"):
        mine.unwrap(WrappedDek("app", "AES-256-GCM", bytes(27)), aad=AAD)


def test_the_error_of_a_missing_kek_comes_through() -> None:
    mine = AesGcmWrapper("app", for_wrap=_missing, for_unwrap=_missing, kept_in={})

    with pytest.raises(KeyNotFoundError):
        mine.wrap(DEK, aad=AAD)


def test_wrap_and_unwrap_ask_for_the_kek_each_in_its_own_way() -> None:
    asked: list[str] = []

    def asking(name: str) -> bytes:
        asked.append(name)
        return KEK

    mine = AesGcmWrapper(
        "app", for_wrap=lambda: asking("w"), for_unwrap=lambda: asking("u"), kept_in={}
    )
    mine.unwrap(mine.wrap(DEK, aad=AAD), aad=AAD)

    assert asked == ["w", "u"]


def _missing() -> bytes:
    raise KeyNotFoundError("there is no KEK")

"""Conformance: a ciphertext that is not exactly what was wrapped is refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import pytest

from ..contract.key_wrapper import MAX_WRAPPED_DEK
from ..errors import DecryptionError
from ..plugin import DEK_BYTES, KeyWrapper
from .subject import AAD, Subject

Damage = Callable[[bytes], bytes]

EIGHTHS = 8


def _flip(ciphertext: bytes, *, eighth: int, bit: int) -> bytes:
    damaged = bytearray(ciphertext)
    damaged[(len(ciphertext) - 1) * eighth // EIGHTHS] ^= bit
    return bytes(damaged)


DAMAGE: Mapping[str, Damage] = {
    **{
        f"bit {bit:#04x} flipped at {eighth}/{EIGHTHS}": partial(_flip, eighth=eighth, bit=bit)
        for eighth in range(EIGHTHS + 1)
        for bit in (0x01, 0x80)
    },
    "last byte cut": lambda ciphertext: ciphertext[:-1],
    "first byte cut": lambda ciphertext: ciphertext[1:],
    "second half cut": lambda ciphertext: ciphertext[: len(ciphertext) // 2],
    "only one byte left": lambda ciphertext: ciphertext[:1],
    "byte appended": lambda ciphertext: ciphertext + b"\0",
    "byte put in front": lambda ciphertext: b"\0" + ciphertext,
    "twice": lambda ciphertext: ciphertext * 2,
    "halves swapped": lambda c: c[len(c) // 2 :] + c[: len(c) // 2],
    "empty": lambda _: b"",
    "zeros of the same length": lambda ciphertext: bytes(len(ciphertext)),
    "junk of the same length": lambda ciphertext: os.urandom(len(ciphertext)),
    "as long as a DEK": lambda _: os.urandom(DEK_BYTES),
    "as long as allowed": lambda _: os.urandom(MAX_WRAPPED_DEK),
    "text": lambda _: b'{"__type":"IncorrectKeyException"}',
}


class DamageTests(Subject):
    """Alter a wrapped DEK in every way that a disk, a network or an attacker may."""

    @pytest.mark.parametrize("damage", DAMAGE)
    def test_damage_is_a_decryption_error(self, key_wrapper: KeyWrapper, damage: str) -> None:
        wrapped = key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)
        damaged = replace(wrapped, ciphertext=DAMAGE[damage](wrapped.ciphertext))

        with pytest.raises(DecryptionError) as caught:
            key_wrapper.unwrap(damaged, aad=AAD)

        assert caught.value.__context__ is None or caught.value.__cause__ is not None, (
            "an error raised while another is handled is raised from it"
        )

    def test_the_undamaged_dek_still_unwraps_after_a_refusal(self, key_wrapper: KeyWrapper) -> None:
        dek = os.urandom(DEK_BYTES)
        wrapped = key_wrapper.wrap(dek, aad=AAD)
        with pytest.raises(DecryptionError):
            key_wrapper.unwrap(replace(wrapped, ciphertext=wrapped.ciphertext[:-1]), aad=AAD)

        assert key_wrapper.unwrap(wrapped, aad=AAD) == dek

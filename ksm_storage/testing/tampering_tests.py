"""Conformance: a ciphertext or an AAD that is not exactly what was wrapped is refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from ..contract.key_wrapper import MAX_WRAPPED_DEK
from ..errors import DecryptionError
from ..plugin import DEK_BYTES, Aad, KeyWrapper
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
        damaged = wrapped._replace(ciphertext=DAMAGE[damage](wrapped.ciphertext))

        with pytest.raises(DecryptionError) as caught:
            key_wrapper.unwrap(damaged, aad=AAD)

        assert caught.value.__context__ is None or caught.value.__cause__ is not None, (
            "an error raised while another is handled is raised from it"
        )

    def test_the_undamaged_dek_still_unwraps_after_a_refusal(self, key_wrapper: KeyWrapper) -> None:
        dek = os.urandom(DEK_BYTES)
        wrapped = key_wrapper.wrap(dek, aad=AAD)
        with pytest.raises(DecryptionError):
            key_wrapper.unwrap(wrapped._replace(ciphertext=wrapped.ciphertext[:-1]), aad=AAD)

        assert key_wrapper.unwrap(wrapped, aad=AAD) == dek


OTHER_AADS: Mapping[str, Aad] = {
    "value changed": Aad({**AAD, "env": "test"}),
    "case of a value changed": Aad({**AAD, "env": "PROD"}),
    "value emptied": Aad({**AAD, "env": ""}),
    "name changed": Aad({("Env" if name == "env" else name): AAD[name] for name in AAD}),
    "pair dropped": Aad({name: AAD[name] for name in AAD if name != "env"}),
    "pair added": Aad({**AAD, "extra": "1"}),
    "values swapped": Aad({**AAD, "env": AAD["purpose"], "purpose": AAD["env"]}),
    "border moved": Aad({**{n: AAD[n] for n in AAD if n != "env"}, "en": "vprod"}),
    "empty": Aad({}),
}


class AadTests(Subject):
    """Unwrap under another AAD than the one that was given to wrap."""

    @pytest.mark.parametrize("change", OTHER_AADS)
    def test_another_aad_is_refused_exactly_if_the_plugin_binds_it(
        self, key_wrapper: KeyWrapper, change: str
    ) -> None:
        dek = os.urandom(DEK_BYTES)
        wrapped = key_wrapper.wrap(dek, aad=AAD)

        if not key_wrapper.binds_aad:
            # A plugin that binds and denies it would hide a failure that the docs explain.
            assert key_wrapper.unwrap(wrapped, aad=OTHER_AADS[change]) == dek, "binds_aad is True"
            return
        with pytest.raises(DecryptionError):
            key_wrapper.unwrap(wrapped, aad=OTHER_AADS[change])

    def test_an_aad_where_there_was_none_is_refused(self, key_wrapper: KeyWrapper) -> None:
        if not key_wrapper.binds_aad:
            pytest.skip("the plugin says that its service does not bind the AAD")
        wrapped = key_wrapper.wrap(os.urandom(DEK_BYTES), aad=Aad({}))

        with pytest.raises(DecryptionError):
            key_wrapper.unwrap(wrapped, aad=AAD)

    def test_binds_aad_is_a_plain_answer(self, key_wrapper: KeyWrapper) -> None:
        assert key_wrapper.binds_aad in (True, False)
        assert key_wrapper.binds_aad is key_wrapper.binds_aad, "it does not change"

    def test_the_order_of_the_pairs_does_not_matter(self, key_wrapper: KeyWrapper) -> None:
        dek = os.urandom(DEK_BYTES)
        wrapped = key_wrapper.wrap(dek, aad=AAD)
        reversed_aad = Aad({name: AAD[name] for name in reversed(list(AAD))})

        assert key_wrapper.unwrap(wrapped, aad=reversed_aad) == dek

    def test_an_aad_as_long_as_contexts_get_is_accepted(self, key_wrapper: KeyWrapper) -> None:
        dek = os.urandom(DEK_BYTES)
        aad = Aad({**AAD, **{f"name-{number}": "v=1; +/~" * 8 for number in range(8)}})

        assert key_wrapper.unwrap(key_wrapper.wrap(dek, aad=aad), aad=aad) == dek

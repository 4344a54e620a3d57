"""Conformance: what is wrapped is unwrapped again, by everybody who may."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from ..contract.key_uri import KeyUri
from ..keys.kek import Kek
from ..plugin import DEK_BYTES, Aad, KeyWrapper
from .subject import AAD, Opener, Subject

THREADS = 8


class RoundTripTests(Subject):
    """Wrap and unwrap, alone, many at once, and after others have closed."""

    def test_an_unwrapped_dek_is_the_one_that_was_wrapped(self, key_wrapper: KeyWrapper) -> None:
        dek = os.urandom(DEK_BYTES)

        unwrapped = key_wrapper.unwrap(key_wrapper.wrap(dek, aad=AAD), aad=AAD)

        assert type(unwrapped) is bytes, "unwrap returns bytes, no bytearray and no string"
        assert unwrapped == dek, "unwrap returns the DEK that wrap was given"

    # Encodings lose zero bytes at an end, and bytes that are no text.
    @pytest.mark.parametrize("byte", [0x00, 0x0A, 0x80, 0xFF])
    def test_every_kind_of_dek_survives(self, key_wrapper: KeyWrapper, byte: int) -> None:
        dek = bytes([byte]) * DEK_BYTES

        unwrapped = key_wrapper.unwrap(key_wrapper.wrap(dek, aad=AAD), aad=AAD)

        assert unwrapped == dek, f"a DEK of bytes 0x{byte:02x} comes back as it was"

    def test_the_core_accepts_what_the_plugin_returns(
        self, key_id: str, settings: Mapping[str, object]
    ) -> None:
        dek = os.urandom(DEK_BYTES)

        with Kek.open(KeyUri(self.provider, key_id), {self.provider: settings}) as kek:
            unwrapped = kek.unwrap(kek.wrap(dek, aad=AAD), aad=AAD)

        assert unwrapped == dek

    def test_a_later_process_unwraps_by_the_key_id_in_the_envelope(
        self, key_wrapper: KeyWrapper, open_wrapper: Opener
    ) -> None:
        dek = os.urandom(DEK_BYTES)
        wrapped = key_wrapper.wrap(dek, aad=AAD)

        unwrapped = open_wrapper(wrapped.key_id).unwrap(wrapped, aad=AAD)

        assert unwrapped == dek, "a key wrapper opened with wrapped.key_id unwraps it"

    def test_no_aad_is_an_aad_too(self, key_wrapper: KeyWrapper) -> None:
        dek = os.urandom(DEK_BYTES)

        assert key_wrapper.unwrap(key_wrapper.wrap(dek, aad=Aad({})), aad=Aad({})) == dek

    def test_eight_threads_share_one_key_wrapper(self, key_wrapper: KeyWrapper) -> None:
        together = Barrier(THREADS, timeout=30)

        def round_trip(dek: bytes) -> bytes:
            together.wait()
            return key_wrapper.unwrap(key_wrapper.wrap(dek, aad=AAD), aad=AAD)

        deks = [os.urandom(DEK_BYTES) for _ in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            unwrapped = list(pool.map(round_trip, deks))

        assert unwrapped == deks, "each thread gets its own DEK back"

    def test_closing_twice_does_nothing(self, key_wrapper: KeyWrapper) -> None:
        key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)

        key_wrapper.close()
        key_wrapper.close()

    def test_closing_one_key_wrapper_leaves_another_of_the_same_key_open(
        self, open_wrapper: Opener, key_id: str
    ) -> None:
        first, second = open_wrapper(key_id), open_wrapper(key_id)
        dek = os.urandom(DEK_BYTES)
        wrapped = first.wrap(dek, aad=AAD)
        second.wrap(dek, aad=AAD)

        first.close()

        assert second.unwrap(wrapped, aad=AAD) == dek, "sessions and log-ins are not shared blindly"

"""Conformance: what is wrapped is unwrapped again, by its own key, with the calls promised."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from ..contract.key_wrapper import MAX_ALGORITHM, MAX_WRAPPED_DEK, KeyUri
from ..errors import DecryptionError
from ..keys.discovery import Plugin
from ..keys.kek import Kek
from ..plugin import DEK_BYTES, Aad, KeyWrapper, WrappedDek
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


class IdentityTests(Subject):
    """Hold key ids and algorithms to their form, and keys apart."""

    def test_a_key_id_survives_as_a_key_uri(self, key_wrapper: KeyWrapper) -> None:
        key_id = _wrapped(key_wrapper).key_id

        assert KeyUri.parse(str(KeyUri(self.provider, key_id))).key_id == key_id

    def test_the_key_id_and_the_algorithm_are_the_same_each_time(
        self, key_wrapper: KeyWrapper, open_wrapper: Opener, key_id: str
    ) -> None:
        first, second = _wrapped(key_wrapper), _wrapped(open_wrapper(key_id))

        assert first.key_id == second.key_id, "one KEK has one resolved key id"
        assert first.algorithm == second.algorithm

    def test_a_resolved_key_id_resolves_to_itself(
        self, key_wrapper: KeyWrapper, open_wrapper: Opener
    ) -> None:
        resolved = _wrapped(key_wrapper).key_id

        assert _wrapped(open_wrapper(resolved)).key_id == resolved

    def test_an_alias_is_resolved(
        self, key_wrapper: KeyWrapper, open_wrapper: Opener, alias: str | None
    ) -> None:
        if alias is None:
            pytest.skip("no fixture 'alias' names KEK one in another way")

        by_alias = _wrapped(open_wrapper(alias))

        assert by_alias.key_id != alias, "wrapped.key_id is the key's own id, as the service gave"
        assert by_alias.key_id == _wrapped(key_wrapper).key_id

    def test_an_alias_unwraps_what_its_key_wrapped(
        self, key_wrapper: KeyWrapper, open_wrapper: Opener, alias: str | None
    ) -> None:
        if alias is None:
            pytest.skip("no fixture 'alias' names KEK one in another way")
        dek = os.urandom(DEK_BYTES)
        wrapped = key_wrapper.wrap(dek, aad=AAD)

        # So an envelope opens whose caller pins the alias.
        assert open_wrapper(alias).unwrap(wrapped, aad=AAD) == dek

    def test_the_name_that_was_asked_for_covers_the_resolved_one(
        self, plugin: Plugin, key_wrapper: KeyWrapper, key_id: str, alias: str | None
    ) -> None:
        resolved = _wrapped(key_wrapper).key_id

        for name in (key_id, alias or key_id):
            assert plugin.key_covers(name, resolved), (
                f"the hook key_covers says that {name!r} may stand for {resolved!r}"
            )

    def test_a_key_does_not_cover_another(
        self, plugin: Plugin, key_wrapper: KeyWrapper, other_key_wrapper: KeyWrapper
    ) -> None:
        one, other = _wrapped(key_wrapper).key_id, _wrapped(other_key_wrapper).key_id

        assert one != other, "the two KEKs of the suite are two keys"
        assert not plugin.key_covers(one, other)

    def test_the_algorithm_has_a_name(self, key_wrapper: KeyWrapper) -> None:
        algorithm = _wrapped(key_wrapper).algorithm

        assert re.fullmatch(rf"[!-~]{{1,{MAX_ALGORITHM}}}", algorithm), (
            f"visible ASCII, at most {MAX_ALGORITHM} characters"
        )

    def test_the_ciphertext_hides_the_dek(self, key_wrapper: KeyWrapper) -> None:
        dek = os.urandom(DEK_BYTES)

        ciphertext = key_wrapper.wrap(dek, aad=AAD).ciphertext

        assert 0 < len(ciphertext) <= MAX_WRAPPED_DEK
        for start in range(0, DEK_BYTES, 8):
            assert dek[start : start + 8] not in ciphertext, "the DEK is encrypted"
            assert dek[start : start + 8][::-1] not in ciphertext, "the DEK is encrypted"

    def test_two_wraps_of_one_dek_differ(self, key_wrapper: KeyWrapper) -> None:
        dek = os.urandom(DEK_BYTES)

        first, second = (key_wrapper.wrap(dek, aad=AAD).ciphertext for _ in range(2))

        assert (first == second) is self.deterministic, (
            "a nonce is never used twice"
            if not self.deterministic
            else "the algorithm was declared to have no nonce"
        )

    def test_deks_are_encrypted_under_different_key_streams(self, key_wrapper: KeyWrapper) -> None:
        zero, ones = bytes(DEK_BYTES), b"\xff" * DEK_BYTES
        ciphertexts = [key_wrapper.wrap(dek, aad=AAD).ciphertext for dek in (zero, ones)]

        # Under a fixed nonce a counter mode gives complements of each other.
        distance = bytes(a ^ b for a, b in zip(*ciphertexts, strict=False))

        assert ones not in distance, "a nonce is never used twice"

    def test_another_kek_is_a_decryption_error(
        self, key_wrapper: KeyWrapper, other_key_wrapper: KeyWrapper
    ) -> None:
        with pytest.raises(DecryptionError):
            key_wrapper.unwrap(_wrapped(other_key_wrapper), aad=AAD)

    def test_a_dek_of_another_kek_under_this_ones_name_is_a_decryption_error(
        self, key_wrapper: KeyWrapper, other_key_wrapper: KeyWrapper
    ) -> None:
        own, foreign = _wrapped(key_wrapper), _wrapped(other_key_wrapper)

        # The caller may use both keys, so only a call that names the key is refused.
        with pytest.raises(DecryptionError):
            key_wrapper.unwrap(foreign._replace(key_id=own.key_id), aad=AAD)

    def test_a_dek_under_another_keks_name_is_a_decryption_error(
        self, key_wrapper: KeyWrapper, other_key_wrapper: KeyWrapper
    ) -> None:
        own, foreign = _wrapped(key_wrapper), _wrapped(other_key_wrapper)

        with pytest.raises(DecryptionError):
            key_wrapper.unwrap(own._replace(key_id=foreign.key_id), aad=AAD)

    def test_another_algorithms_name_is_a_decryption_error(self, key_wrapper: KeyWrapper) -> None:
        wrapped = _wrapped(key_wrapper)

        with pytest.raises(DecryptionError):
            key_wrapper.unwrap(wrapped._replace(algorithm="no-such-algorithm"), aad=AAD)


def _wrapped(key_wrapper: KeyWrapper) -> WrappedDek:
    return key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)


CountCalls = Callable[[], int] | None


class CallTests(Subject):
    """Count calls with the function that the author supplies."""

    def test_opening_calls_nothing(
        self, open_wrapper: Opener, key_id: str, count_calls: CountCalls
    ) -> None:
        count = _required(count_calls)
        before = count()

        open_wrapper(key_id).close()

        assert count() == before, "opening a key wrapper checks settings and calls nothing"

    def test_wrapping_makes_the_calls_that_are_documented(
        self, key_wrapper: KeyWrapper, count_calls: CountCalls
    ) -> None:
        count = _required(count_calls)
        _warm_up(key_wrapper)
        before = count()

        key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)

        assert count() - before == self.calls_per_wrap

    def test_unwrapping_makes_the_calls_that_are_documented(
        self, open_wrapper: Opener, key_id: str, key_wrapper: KeyWrapper, count_calls: CountCalls
    ) -> None:
        count = _required(count_calls)
        wrapped = key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)
        fresh = open_wrapper(key_id)
        before = count()

        fresh.unwrap(wrapped, aad=AAD)

        assert count() - before == self.calls_per_unwrap


def _warm_up(key_wrapper: KeyWrapper) -> None:
    # A public key may be fetched at the first wrap; what is counted here is what each costs.
    key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)


def _required(count_calls: CountCalls) -> Callable[[], int]:
    if count_calls is None:
        pytest.skip("no fixture 'count_calls' counts the calls that the key service receives")
    return count_calls

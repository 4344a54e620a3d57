"""Conformance: the key service is called when a DEK is wrapped or unwrapped, and only then."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from ..plugin import DEK_BYTES, KeyWrapper
from .subject import AAD, Opener, Subject

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

"""The plugin keeps its contract over a real wire."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

import pytest

from ksm_storage.plugin import (
    AuthenticationError,
    KeyNotFoundError,
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    ThrottledError,
    UnavailableError,
)
from ksm_storage.testing.conformance import Fault, KeyWrapperConformance
from ksm_storage.testing.subject import AAD, Opener

from .lockbox_server import TOKEN, Lockbox, running

FAILURES: Mapping[str, tuple[int, bytes]] = {
    "bad token": (401, b'{"code": "bad_token"}'),
    "forbidden": (403, b'{"code": "forbidden"}'),
    "no such key": (404, b'{"code": "no_such_key"}'),
    "disabled": (409, b'{"code": "disabled"}'),
    "throttled": (429, b'{"code": "slow_down"}'),
    "failing": (503, b'{"code": "maintenance"}'),
    "page of a proxy": (200, b"<html>sign in</html>"),
    "redirect": (307, b"{}"),
    "something new": (418, b'{"code": "teapot"}'),
}


class TestLockbox(KeyWrapperConformance):
    provider = "lockbox"
    faults: ClassVar[Mapping[str, Fault]] = {
        "bad token": Fault(AuthenticationError, has_cause=False),
        "forbidden": Fault(PermissionDeniedError, has_cause=False),
        "no such key": Fault(KeyNotFoundError, has_cause=False),
        "disabled": Fault(KeyStateError, has_cause=False),
        "throttled": Fault(ThrottledError, has_cause=False, settings={"deadline": 1.0}),
        "failing": Fault(UnavailableError, has_cause=False, settings={"deadline": 1.0}),
        "page of a proxy": Fault(UnavailableError),
        "redirect": Fault(ProviderError),
        "something new": Fault(ProviderError, has_cause=False),
    }

    @pytest.fixture
    def lockbox(self) -> Iterator[Lockbox]:
        with running() as lockbox:
            yield lockbox

    @pytest.fixture
    def key_id(self) -> str:
        return "one"

    @pytest.fixture
    def other_key_id(self) -> str:
        return "two"

    @pytest.fixture
    def settings(self, lockbox: Lockbox) -> Mapping[str, object]:
        return {"endpoint": lockbox.url, "token": TOKEN}

    @pytest.fixture
    def count_calls(self, lockbox: Lockbox) -> Callable[[], int]:
        return lambda: lockbox.requests

    @pytest.fixture
    def provoke(self, lockbox: Lockbox) -> Callable[[str], AbstractContextManager[None]]:
        @contextmanager
        def failing(fault: str) -> Iterator[None]:
            lockbox.failures = [FAILURES[fault]]
            yield
            lockbox.failures = []

        return failing

    def test_a_failure_that_passes_is_not_noticed(
        self, lockbox: Lockbox, open_wrapper: Opener, key_id: str
    ) -> None:
        key_wrapper = open_wrapper(key_id)
        dek = os.urandom(32)
        wrapped = key_wrapper.wrap(dek, aad=AAD)
        lockbox.failures = [FAILURES["failing"], (200, b"")]
        before = lockbox.requests

        with pytest.raises(UnavailableError, match="invalid reply"):
            key_wrapper.unwrap(wrapped, aad=AAD)

        assert lockbox.requests == before + 2, "the first reply was asked for again"

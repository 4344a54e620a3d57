"""The conformance suite, once for each planted fault; run by ``test_planted_faults.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest

from ksm_storage.keys.discovery import Plugin, find_plugin
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
from ksm_storage.testing.plugin_tests import StandardOptionTests
from ksm_storage.testing.surroundings_tests import NetworkTests, ProcessTests
from tests.seam.planted import planted_http, planted_plugin

PAGE = Path(__file__).with_name("page.md")


class Planted(KeyWrapperConformance):
    provider = "planted"
    planted = ""
    # Each of them costs a process or a time-out; those over HTTP are tried for these, below.
    test_a_forked_child_uses_no_connection_of_its_parent = None  # type: ignore[assignment]  # left out
    test_standard_input_is_left_to_the_program = None  # type: ignore[assignment]  # left out
    # It has none of the standard options.
    test_a_setting_that_cannot_be_used_is_refused_when_the_key_is_opened = None  # type: ignore[assignment]  # left out
    test_plain_http_to_this_machine_is_accepted = None  # type: ignore[assignment]  # left out
    faults: ClassVar[Mapping[str, Fault]] = {
        "Unauthenticated": Fault(AuthenticationError),
        "Denied": Fault(PermissionDeniedError),
        "NotFound": Fault(KeyNotFoundError),
        "Disabled": Fault(KeyStateError),
        "Throttled": Fault(ThrottledError),
        "Unavailable": Fault(UnavailableError),
        "SomethingNew": Fault(ProviderError),
    }
    native_names: ClassVar[Mapping[str, str]] = {"memory:keys/one": "keys/one"}

    @pytest.fixture
    def plugin(self) -> Plugin:
        # Thousands of tests run here; the search of the path is tested elsewhere.
        return _found(self.provider)

    @pytest.fixture
    def key_id(self) -> str:
        return "keys/one"

    @pytest.fixture
    def other_key_id(self) -> str:
        return "keys/two"

    @pytest.fixture
    def alias(self) -> str:
        return "alias/one"

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        return {"fault": self.planted}

    @pytest.fixture
    def count_calls(self) -> Callable[[], int]:
        return lambda: planted_plugin.SERVICE.calls

    @pytest.fixture
    def provoke(self) -> Callable[[str], AbstractContextManager[None]]:
        return _failing


@cache
def _found(provider: str) -> Plugin:
    return find_plugin(provider)


@contextmanager
def _failing(code: str) -> Iterator[None]:
    planted_plugin.SERVICE.failing_with = code
    try:
        yield
    finally:
        planted_plugin.SERVICE.failing_with = None


class TestHonest(Planted):
    """The same plugin without a fault, which proves that the suite asks nothing impossible."""

    sdk_modules = ("tests.seam.planted.planted_sdk",)
    documentation = PAGE


class TestUntidy(Planted):
    provider = "untidy"
    sdk_modules = ("tests.seam.planted.planted_sdk",)
    documentation = PAGE


for _name in planted_plugin.PLANTED:
    globals()[f"Test{_name}"] = type(f"Test{_name}", (Planted,), {"planted": _name})


class TestHonestHttp(StandardOptionTests, NetworkTests, ProcessTests):
    """A plugin over HTTP without a fault, and what surrounds it."""

    provider = "planted-http"
    planted = ""

    @pytest.fixture
    def plugin(self) -> Plugin:
        return _found(self.provider)

    @pytest.fixture
    def key_id(self) -> str:
        return "keys/one"

    @pytest.fixture
    def settings(self) -> Iterator[Mapping[str, object]]:
        with planted_http.serving("keys/one") as url:
            yield {"endpoint": url, "fault": self.planted}


for _name in planted_http.PLANTED:
    globals()[f"Test{_name}"] = type(f"Test{_name}", (TestHonestHttp,), {"planted": _name})


class TestBare(KeyWrapperConformance):
    """An author who supplies only what is required."""

    provider = "planted"

    @pytest.fixture
    def key_id(self) -> str:
        return "keys/one"

    @pytest.fixture
    def other_key_id(self) -> str:
        return "keys/two"

"""The conformance suite over the wire, for each kind of key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import pytest

from ksm_storage.plugin import (
    AuthenticationError,
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    ThrottledError,
    UnavailableError,
)
from ksm_storage.testing.conformance import Fault, KeyWrapperConformance

from .emulated_vault import EmulatedVault
from .scripted_vault import KEY, VERSION


class EmulatedKeys(KeyWrapperConformance):
    """Keys in the strict emulator; what they are is for the classes below to say."""

    __test__ = False
    provider = "oracle-kv"
    documentation = Path(__file__).parents[3] / "docs" / "plugins" / "oracle-kv.md"
    sdk_modules = ("oci", "circuitbreaker", "urllib3")
    native_names: ClassVar[Mapping[str, str]] = {KEY: KEY, f"{KEY}/{VERSION}": f"{KEY}/{VERSION}"}
    kind: ClassVar[str] = "AES"
    options: ClassVar[Mapping[str, object]] = {}
    faults: ClassVar[Mapping[str, Fault]] = {
        "throttled": Fault(ThrottledError),
        "failing": Fault(UnavailableError),
        "dropped": Fault(UnavailableError),
        "cut off": Fault(UnavailableError),
        "denied": Fault(PermissionDeniedError),
        "unknown caller": Fault(AuthenticationError),
        "disabled": Fault(KeyStateError),
        "pending deletion": Fault(KeyStateError),
        "wrong checksum": Fault(UnavailableError, operations=("unwrap",), has_cause=False),
        "wrong key": Fault(ProviderError, operations=("wrap",), has_cause=False),
    }

    @pytest.fixture(scope="class")
    @classmethod
    def keys(cls, _running_emulator: EmulatedVault) -> tuple[str, str]:
        first, second = (_running_emulator.create_key(algorithm=cls.kind) for _ in range(2))
        return first, second

    @pytest.fixture
    def key_id(self, emulator: EmulatedVault, keys: tuple[str, str]) -> str:
        return keys[0]

    @pytest.fixture
    def other_key_id(self, keys: tuple[str, str]) -> str:
        return keys[1]

    @pytest.fixture
    def alias(self, keys: tuple[str, str]) -> str:
        # A key without version stands for each of its versions.
        return keys[0]

    @pytest.fixture
    def settings(self, emulator: EmulatedVault) -> Mapping[str, object]:
        # No retry fits into one second; the pauses are tested in test_deadline.py.
        return {"endpoint": emulator.url, "deadline": 1.0, **self.options}

    @pytest.fixture
    def count_calls(self, emulator: EmulatedVault) -> Callable[[], int]:
        return emulator.calls

    @pytest.fixture
    def provoke(
        self, emulator: EmulatedVault, key_id: str
    ) -> Callable[[str], AbstractContextManager[object]]:
        return lambda fault: emulator.provoked(fault, key_id)


class TestAes(EmulatedKeys):
    """AES keys, which bind the AAD as associated data."""

    __test__ = True


class TestRsa(EmulatedKeys):
    """RSA keys, which bind no AAD."""

    __test__ = True
    kind = "RSA"
    options: ClassVar[Mapping[str, object]] = {"algorithm": "RSA_OAEP_SHA_256"}

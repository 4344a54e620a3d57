"""The conformance suite over gRPC, for each purpose of a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import pytest

from ksm_storage.plugin import (
    KeyStateError,
    PermissionDeniedError,
    ThrottledError,
    UnavailableError,
)
from ksm_storage.testing.conformance import Fault, KeyWrapperConformance

from .emulated_kms import EmulatedKms

KEY = "projects/demo/locations/europe-west3/keyRings/apps/cryptoKeys/ksm"

FAULTS: Mapping[str, type] = {
    "throttled": ThrottledError,
    "failing": UnavailableError,
    "dropped": UnavailableError,
    "cut off": UnavailableError,
    "denied": PermissionDeniedError,
    "disabled": KeyStateError,
    "to be destroyed": KeyStateError,
}


class EmulatedKeys(KeyWrapperConformance):
    """Keys in the strict emulator; what they are is for the classes below to say."""

    __test__ = False
    provider = "gcp-kms"
    documentation = Path(__file__).parents[3] / "docs" / "plugins" / "gcp-kms.md"
    sdk_modules = ("google", "grpc", "google_crc32c", "requests")
    native_names: ClassVar[Mapping[str, str]] = {
        KEY: KEY,
        f"{KEY}/cryptoKeyVersions/3": f"{KEY}/cryptoKeyVersions/3",
    }
    key_algorithm: ClassVar[str] = "GOOGLE_SYMMETRIC_ENCRYPTION"
    purpose: ClassVar[str] = "ENCRYPT_DECRYPT"
    faults: ClassVar[Mapping[str, Fault]] = {
        **{name: Fault(kind) for name, kind in FAULTS.items()},
        "damaged": Fault(UnavailableError, has_cause=False),
    }

    @pytest.fixture(scope="class")
    @classmethod
    def keys(cls, _running: EmulatedKms) -> tuple[str, str]:
        first, second = (_running.create_key(algorithm=cls.key_algorithm) for _ in range(2))
        return first.versions[0].name, second.versions[0].name

    @pytest.fixture
    def key_id(self, kms: EmulatedKms, keys: tuple[str, str]) -> str:
        return keys[0]

    @pytest.fixture
    def other_key_id(self, keys: tuple[str, str]) -> str:
        return keys[1]

    @pytest.fixture
    def settings(self, kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, object]:
        # The pauses between attempts are tested in test_deadline.py.
        monkeypatch.setattr("ksm_storage_gcp_kms.client.MAX_ATTEMPTS", 1)
        return {**kms.settings, "purpose": self.purpose}

    @pytest.fixture
    def count_calls(self, kms: EmulatedKms) -> Callable[[], int]:
        return kms.calls

    @pytest.fixture
    def provoke(
        self, kms: EmulatedKms, key_id: str
    ) -> Callable[[str], AbstractContextManager[object]]:
        return lambda fault: kms.provoked(fault, key_id)


class TestSymmetric(EmulatedKeys):
    """Keys that Cloud KMS encrypts with, behind TLS with a private authority."""

    __test__ = True

    @pytest.fixture(scope="class")
    @classmethod
    def keys(cls, _running_tls: EmulatedKms) -> tuple[str, str]:
        first, second = (_running_tls.create_key() for _ in range(2))
        return first.versions[0].name, second.versions[0].name

    @pytest.fixture
    def kms(self, kms_tls: EmulatedKms) -> EmulatedKms:
        return kms_tls

    @pytest.fixture
    def alias(self, key_id: str) -> str:
        return key_id.partition("/cryptoKeyVersions/")[0]


class TestRaw(EmulatedKeys):
    """AES-GCM keys."""

    __test__ = True
    key_algorithm = "AES_256_GCM"
    purpose = "RAW_ENCRYPT_DECRYPT"


class TestAsymmetric(EmulatedKeys):
    """RSA keys, which bind no AAD and wrap here once the public key is known."""

    __test__ = True
    key_algorithm = "RSA_DECRYPT_OAEP_2048_SHA256"
    purpose = "ASYMMETRIC_DECRYPT"
    calls_per_wrap = 0
    faults: ClassVar[Mapping[str, Fault]] = {
        **{name: Fault(kind, operations=("unwrap",)) for name, kind in FAULTS.items()},
        "damaged": Fault(UnavailableError, operations=("unwrap",), has_cause=False),
    }

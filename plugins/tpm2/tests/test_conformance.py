"""The plugin keeps its contract, over a TPM in software."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from ksm_storage.plugin import (
    AuthenticationError,
    ProviderError,
    UnavailableError,
)
from ksm_storage.testing.conformance import Fault, KeyWrapperConformance
from ksm_storage.testing.signing_tests import SigningConformance

from .software_tpm import DEBUG_PCR, SoftwareTpm

# TPMA_OBJECT: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, with a kind.
STORAGE, SIGNING = 0x00030072, 0x00040072


class _Tpm2(KeyWrapperConformance):
    provider = "tpm2"
    sdk_modules = ("tpm2_pytss",)
    documentation = Path(__file__).parents[3] / "docs" / "plugins" / "tpm2.md"
    more: ClassVar[Mapping[str, object]] = {}

    @pytest.fixture
    def settings(self, tpm: SoftwareTpm) -> Mapping[str, object]:
        return {**tpm.settings, **self.more}

    @pytest.fixture
    def key_id(self) -> str:
        return "owner/one"

    @pytest.fixture
    def other_key_id(self) -> str:
        return "owner/two"


class TestDerived(_Tpm2):
    """Keys that are derived for each call, sealed to nothing but the TPM."""

    faults: ClassVar = {
        "no power": Fault(UnavailableError),
        "no device": Fault(ProviderError, settings={"tcti": None, "device": "/dev/no-tpm"}),
    }

    @pytest.fixture
    def provoke(self, tpm: SoftwareTpm) -> Callable[[str], AbstractContextManager[object]]:
        return lambda fault: _without_power(tpm) if fault == "no power" else _nothing()


class TestPersistent(_Tpm2):
    """Keys with handles: one elliptic, one RSA."""

    @pytest.fixture
    def key_id(self, tpm: SoftwareTpm) -> str:
        return tpm.persistent("ecc256:aes128cfb", 0x81000001, STORAGE)

    @pytest.fixture
    def other_key_id(self, tpm: SoftwareTpm) -> str:
        return tpm.persistent("rsa2048:aes128cfb", 0x81000002, STORAGE)


class TestPcrsAndPin(_Tpm2):
    """Sealed to PCRs and to a PIN."""

    more: ClassVar = {"pcrs": f"sha256:0,7,{DEBUG_PCR}", "pin": "correct horse"}
    faults: ClassVar = {
        "wrong PIN": Fault(AuthenticationError, ("unwrap",), {"pin": "battery staple"}),
    }

    @pytest.fixture
    def provoke(self) -> Callable[[str], AbstractContextManager[object]]:
        return lambda fault: _nothing()


class TestSigning(SigningConformance):
    """Device keys that are derived."""

    provider = "tpm2"

    @pytest.fixture
    def settings(self, tpm: SoftwareTpm) -> Mapping[str, object]:
        return tpm.settings

    @pytest.fixture
    def key_id(self) -> str:
        return "owner/device"

    @pytest.fixture
    def other_key_id(self) -> str:
        return "owner/another"


class TestPersistentSigning(TestSigning):
    """Device keys with handles."""

    @pytest.fixture
    def key_id(self, tpm: SoftwareTpm) -> str:
        return tpm.persistent("ecc256:ecdsa-sha256", 0x81010001, SIGNING)

    @pytest.fixture
    def other_key_id(self, tpm: SoftwareTpm) -> str:
        return tpm.persistent("ecc256:ecdsa-sha256", 0x81010002, SIGNING)


@contextmanager
def _without_power(tpm: SoftwareTpm) -> Iterator[None]:
    tpm.stop()
    try:
        yield
    finally:
        tpm.start()


@contextmanager
def _nothing() -> Iterator[None]:
    yield

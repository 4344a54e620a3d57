"""A recovery key keeps the contract of a plugin where its secret is given."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from ksm_storage.providers.recovery_key import RecoveryKey
from ksm_storage.providers.recovery_secret import words_of
from ksm_storage.testing.conformance import KeyWrapperConformance


class TestRecoveryKey(KeyWrapperConformance):
    provider = "recovery"
    sdk_modules = ("mnemonic",)

    @pytest.fixture
    def secret(self) -> bytes:
        return os.urandom(32)

    @pytest.fixture
    def key_id(self, secret: bytes) -> str:
        return RecoveryKey.of("one", secret).public_id

    @pytest.fixture
    def other_key_id(self, secret: bytes) -> str:
        return RecoveryKey.of("two", secret).public_id

    @pytest.fixture
    def settings(self, secret: bytes) -> Mapping[str, object]:
        return {"words": " ".join(words_of(secret))}

"""The conformance suite over the wire: moto's server, and the strict emulator's kinds of keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import pytest

from ksm_storage.plugin import (
    KeyStateError,
    PermissionDeniedError,
    ThrottledError,
    UnavailableError,
)
from ksm_storage.testing.conformance import Fault, KeyWrapperConformance

from .emulated_kms import EmulatedKms
from .moto_kms import MotoKms
from .scripted_kms import ARN

ALIAS_ARN = "arn:aws-cn:kms:cn-north-1:111122223333:alias/app"


# moto mixes names and values of the encryption context up where their concatenation is the same,
# and answers a key id or a ciphertext that it cannot place with AccessDeniedException where KMS
# documents IncorrectKeyException and InvalidCiphertextException. TestSymmetric below, over the
# strict emulator, holds the plugin to the documentation in each of these.
MOTO_IS_WRONG = re.compile(
    r"border moved|0x01 flipped at [0-3]/|first byte cut|byte put in front|zeros of the same|"
    r"under_this_ones_name|0x80 flipped at [0-3]/|junk of|as long as|halves swapped|-text"
)


class TestMoto(KeyWrapperConformance):
    """A key in moto's server."""

    provider = "aws-kms"
    sdk_modules = ("boto3", "botocore", "urllib3")
    native_names: ClassVar[Mapping[str, str]] = {ARN: ARN, ALIAS_ARN: ALIAS_ARN}

    @pytest.fixture(autouse=True)
    def _skip_where_moto_is_wrong(self, request: pytest.FixtureRequest) -> None:
        if MOTO_IS_WRONG.search(request.node.name):
            pytest.skip("moto answers otherwise than KMS documents; TestSymmetric has it")

    @pytest.fixture(scope="class")
    @classmethod
    def keys(cls, _running_moto: MotoKms) -> tuple[str, str]:
        return _running_moto.create_key(), _running_moto.create_key()

    @pytest.fixture
    def key_id(self, moto: MotoKms, keys: tuple[str, str]) -> str:
        return keys[0]

    @pytest.fixture
    def other_key_id(self, keys: tuple[str, str]) -> str:
        return keys[1]

    @pytest.fixture
    def settings(self, moto: MotoKms, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, object]:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.url)
        return {"endpoint": moto.url}


class EmulatedKeys(KeyWrapperConformance):
    """Keys in the strict emulator; what they are is for the classes below to say."""

    __test__ = False
    provider = "aws-kms"
    documentation = Path(__file__).parents[3] / "docs" / "plugins" / "aws-kms.md"
    key_spec: ClassVar[str] = "SYMMETRIC_DEFAULT"
    options: ClassVar[Mapping[str, object]] = {}
    faults: ClassVar[Mapping[str, Fault]] = {
        "throttled": Fault(ThrottledError),
        "failing": Fault(UnavailableError),
        "dropped": Fault(UnavailableError),
        "denied": Fault(PermissionDeniedError),
        "disabled": Fault(KeyStateError),
        "pending deletion": Fault(KeyStateError),
    }

    @pytest.fixture(scope="class")
    @classmethod
    def keys(cls, _running_emulator: EmulatedKms) -> tuple[str, str, str]:
        name = f"alias/{uuid4()}"
        first = _running_emulator.create_key(key_spec=cls.key_spec, alias=name)
        second = _running_emulator.create_key(key_spec=cls.key_spec)
        return first, second, first.rpartition(":")[0] + ":" + name

    @pytest.fixture
    def key_id(self, emulator: EmulatedKms, keys: tuple[str, str, str]) -> str:
        return keys[0]

    @pytest.fixture
    def other_key_id(self, keys: tuple[str, str, str]) -> str:
        return keys[1]

    @pytest.fixture
    def alias(self, keys: tuple[str, str, str]) -> str:
        return keys[2]

    @pytest.fixture
    def settings(
        self, emulator: EmulatedKms, monkeypatch: pytest.MonkeyPatch
    ) -> Mapping[str, object]:
        # The pauses between attempts are the client's and are tested in test_deadline.py.
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", emulator.url)
        return {"endpoint": emulator.url, **self.options}

    @pytest.fixture
    def count_calls(self, emulator: EmulatedKms) -> Callable[[], int]:
        return emulator.calls

    @pytest.fixture
    def provoke(
        self, emulator: EmulatedKms, key_id: str
    ) -> Callable[[str], AbstractContextManager[object]]:
        return lambda fault: emulator.provoked(fault, key_id)


class TestSymmetric(EmulatedKeys):
    """AES keys."""

    __test__ = True


class TestRsa(EmulatedKeys):
    """RSA keys, which bind no AAD."""

    __test__ = True
    key_spec = "RSA_2048"
    options: ClassVar[Mapping[str, object]] = {"algorithm": "RSAES_OAEP_SHA_256"}

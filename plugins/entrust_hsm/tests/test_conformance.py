"""The conformance suite against SoftHSM 2, by each mechanism that it offers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import pytest

from ksm_storage.plugin import (
    AuthenticationError,
    KeyNotFoundError,
    KeyStateError,
    PermissionDeniedError,
    ThrottledError,
    UnavailableError,
)
from ksm_storage.testing.conformance import Fault, KeyWrapperConformance

from .interposer import Interposer, writes_iv

NATIVE = "token=ksm;serial=0123;object=my%20key;id=%01%02"
CODES = {
    "failing": 0x30,
    "gone": 0x32,
    "full": 0xB1,
    "deleted": 0x82,
    "not for this": 0x68,
    "forbidden": 0x200,
    "logged out": 0x101,
}


class SoftHsmKeys(KeyWrapperConformance):
    """Keys in a token of SoftHSM; what they are is for the classes below to say."""

    __test__ = False
    provider = "pkcs11"
    sdk_modules = ("ctypes", "_ctypes", "pkcs11")
    documentation = Path(__file__).parents[3] / "docs" / "plugins" / "entrust-hsm.md"
    native_names: ClassVar[Mapping[str, str]] = {f"pkcs11:{NATIVE}": NATIVE}
    key: ClassVar[tuple[str, str]] = ("one", "%01")
    other_key: ClassVar[tuple[str, str]] = ("two", "%02")
    kind: ClassVar[str] = "secret-key"
    options: ClassVar[Mapping[str, object]] = {}
    faults: ClassVar[Mapping[str, Fault]] = {
        "failing": Fault(UnavailableError),
        "gone": Fault(UnavailableError),
        "full": Fault(ThrottledError),
        "deleted": Fault(KeyNotFoundError),
        "not for this": Fault(KeyStateError),
        "forbidden": Fault(PermissionDeniedError),
        "logged out": Fault(AuthenticationError),
        "another PIN": Fault(AuthenticationError, settings={"pin": "1234"}, has_cause=False),
    }

    @pytest.fixture
    def key_id(self, interposer: Interposer) -> str:
        return self._name(*self.key)

    @pytest.fixture
    def other_key_id(self) -> str:
        return self._name(*self.other_key)

    @pytest.fixture
    def alias(self) -> str:
        return f"object={self.key[0]};token=ksm"

    @pytest.fixture
    def settings(self, settings: Mapping[str, object]) -> Mapping[str, object]:
        return {**settings, **self.options}

    @pytest.fixture
    def count_calls(self, interposer: Interposer) -> Callable[[], int]:
        names = ("C_Encrypt", "C_Decrypt", "C_WrapKey", "C_UnwrapKey")
        return lambda: sum(interposer.calls[name] for name in names)

    @pytest.fixture
    def provoke(self, interposer: Interposer) -> Callable[[str], AbstractContextManager[object]]:
        names = ("C_EncryptInit", "C_DecryptInit", "C_WrapKey", "C_UnwrapKey")

        def provoke(fault: str) -> AbstractContextManager[object]:
            code = CODES.get(fault)
            return interposer.answering(**({} if code is None else dict.fromkeys(names, code)))

        return provoke

    def _name(self, label: str, identifier: str) -> str:
        return f"token=ksm;object={label};id={identifier};type={self.kind}"


class TestAesGcm(SoftHsmKeys):
    """AES keys that encrypt and decrypt; the mechanism is chosen."""

    __test__ = True


class TestAesGcmWithTheIvOfTheToken(SoftHsmKeys):
    """As above, in a token that writes its own IV."""

    in_process = True

    __test__ = True
    options: ClassVar[Mapping[str, object]] = {"iv": "hsm"}

    @pytest.fixture(autouse=True)
    def _token_makes_the_iv(self, interposer: Interposer) -> Iterator[None]:
        def begun(*arguments: object) -> int:
            answer = writes_iv(os.urandom(12))
            assert callable(answer)
            return answer(*arguments)

        with interposer.answering(C_EncryptInit=begun):
            yield

    @pytest.fixture
    def provoke(self) -> None:
        pytest.skip("TestAesGcm has the faults; here the start of an encryption is altered")


class TestKeyWrapPad(SoftHsmKeys):
    """AES keys that wrap and unwrap objects only, and know no AAD."""

    __test__ = True
    key = ("wrap-one", "%03")
    other_key = ("wrap-two", "%04")
    deterministic = True


class TestRsa(SoftHsmKeys):
    """RSA pairs; SoftHSM knows OAEP with SHA-1 only."""

    __test__ = True
    key = ("rsa-one", "%21")
    other_key = ("rsa-two", "%22")
    kind = "private"
    options: ClassVar[Mapping[str, object]] = {"mechanism": "CKM_RSA_PKCS_OAEP/SHA-1"}

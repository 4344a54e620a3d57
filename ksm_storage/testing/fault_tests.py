"""Conformance: each failure of the key service is the error that is documented for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from ..errors import KsmStorageError
from ..plugin import DEK_BYTES, KeyWrapper, WrappedDek
from .subject import AAD, Opener, Subject
from .traces import encodings_of, texts_of_causes

Provoke = Callable[[str], AbstractContextManager[object]] | None


class FaultTests(Subject):
    """Make the service fail in each way that the author supplies."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test per fault and operation; pytest calls this."""
        if "fault" not in metafunc.fixturenames:
            return
        cases = [(name, each) for name, fault in self.faults.items() for each in fault.operations]
        if not cases:
            reason = "no 'faults' say what the key service can be made to answer"
            metafunc.parametrize(
                "fault, operation", [pytest.param("", "", marks=pytest.mark.skip(reason=reason))]
            )
            return
        metafunc.parametrize(
            "fault, operation", [pytest.param(*case, id="-".join(case)) for case in cases]
        )

    def test_a_fault_is_its_documented_error(
        self,
        key_wrapper: KeyWrapper,
        open_wrapper: Opener,
        key_id: str,
        provoke: Provoke,
        fault: str,
        operation: str,
    ) -> None:
        assert provoke is not None, "'faults' needs the fixture 'provoke'"
        dek = os.urandom(DEK_BYTES)
        wrapped = key_wrapper.wrap(dek, aad=AAD)

        with provoke(fault), pytest.raises(KsmStorageError) as caught:
            # Opened inside: credentials may be read at either moment.
            _attempt(operation, open_wrapper(key_id, self.faults[fault].settings), dek, wrapped)

        error = caught.value
        assert type(error) is self.faults[fault].error, f"{fault} is {type(error).__name__}"
        if self.faults[fault].has_cause:
            assert error.__cause__ is not None, "the SDK's own error is kept as the cause"
        _assert_shows_nothing_foreign(error, dek)

    def test_the_key_wrapper_works_again_after_a_fault(
        self, key_wrapper: KeyWrapper, provoke: Provoke, fault: str, operation: str
    ) -> None:
        if self.faults[fault].settings:
            pytest.skip("the fault lies in the settings, so it does not pass")
        assert provoke is not None, "'faults' needs the fixture 'provoke'"
        dek = os.urandom(DEK_BYTES)
        wrapped = key_wrapper.wrap(dek, aad=AAD)
        with provoke(fault), pytest.raises(KsmStorageError):
            _attempt(operation, key_wrapper, dek, wrapped)

        assert key_wrapper.unwrap(wrapped, aad=AAD) == dek


def _attempt(operation: str, key_wrapper: KeyWrapper, dek: bytes, wrapped: WrappedDek) -> None:
    if operation == "wrap":
        key_wrapper.wrap(dek, aad=AAD)
    else:
        key_wrapper.unwrap(wrapped, aad=AAD)


def _assert_shows_nothing_foreign(error: KsmStorageError, dek: bytes) -> None:
    shown = f"{error!s} {error.args!r} {error.as_dict()!r}"
    for text in texts_of_causes(error):
        assert text not in shown, "the SDK's text may hold a secret and stays in the cause"
    for encoding in encodings_of(dek):
        assert encoding not in shown, "no error shows the DEK"

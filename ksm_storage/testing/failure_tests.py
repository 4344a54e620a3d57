"""Conformance: failures are the documented errors, and nothing anywhere shows the data key."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

import pytest

from ..errors import DecryptionError, KsmStorageError
from ..keys.discovery import Plugin
from ..plugin import DEK_BYTES, KeyWrapper, WrappedDek
from .subject import AAD, Opener, Subject
from .traces import encodings_of, holders_of, texts_of_causes

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
    assert not holders_of(error, dek), "the DEK hangs on the error: raise it by 'translating'"


EVERYTHING = 1


class SecrecyTests(Subject):
    """Look for the DEK where people look when something fails."""

    @pytest.fixture
    def everything_logged(
        self, caplog: pytest.LogCaptureFixture, key_wrapper: KeyWrapper
    ) -> Iterator[pytest.LogCaptureFixture]:
        """Log everything, after the SDK was imported and has set its own levels."""
        # A first use imports the rest of the SDK; later loggers inherit the root's level.
        key_wrapper.unwrap(key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD), aad=AAD)
        caplog.clear()
        names = [*logging.root.manager.loggerDict]
        levels = {name: logging.getLogger(name).level for name in names}
        with caplog.at_level(EVERYTHING):
            for name, level in levels.items():
                logging.getLogger(name).setLevel(EVERYTHING if level else logging.NOTSET)
            yield caplog
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

    def test_no_log_record_shows_the_dek_at_any_level(
        self, everything_logged: pytest.LogCaptureFixture, key_wrapper: KeyWrapper
    ) -> None:
        dek = os.urandom(DEK_BYTES)

        _use(key_wrapper, dek)

        for record in everything_logged.records:
            shown = f"{record.getMessage()} {record.__dict__!r}"
            for encoding in encodings_of(dek):
                assert encoding not in shown, f"{record.name} logs the DEK: use quiet_logs"

    def test_nothing_is_printed(
        self, capfd: pytest.CaptureFixture[str], key_wrapper: KeyWrapper
    ) -> None:
        _use(key_wrapper, os.urandom(DEK_BYTES))

        printed = capfd.readouterr()
        assert printed.out == "", "standard output belongs to the program"
        assert printed.err == "", "a plugin speaks through errors, and warnings through logging"

    def test_a_repr_shows_neither_the_dek_nor_a_secret_setting(
        self, plugin: Plugin, key_wrapper: KeyWrapper, settings: Mapping[str, object]
    ) -> None:
        dek = os.urandom(DEK_BYTES)
        secret_names = {option.name for option in plugin.options() if option.secret}
        secrets = [
            value
            for name, value in settings.items()
            if name in secret_names and isinstance(value, str)
        ]

        _use(key_wrapper, dek)

        for text in [*encodings_of(dek), *secrets]:
            assert text not in repr(key_wrapper)
            assert text not in str(key_wrapper)

    def test_a_refusal_repeats_no_text_of_the_sdk(self, key_wrapper: KeyWrapper) -> None:
        wrapped = key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)

        with pytest.raises(DecryptionError) as caught:
            key_wrapper.unwrap(wrapped._replace(ciphertext=wrapped.ciphertext[:-1]), aad=AAD)

        shown = f"{caught.value!s} {caught.value.as_dict()!r}"
        for text in texts_of_causes(caught.value):
            assert text not in shown, "the SDK's text may hold a secret and stays in the cause"

    def test_a_message_is_one_clause(self, key_wrapper: KeyWrapper) -> None:
        wrapped = key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)

        with pytest.raises(DecryptionError) as caught:
            key_wrapper.unwrap(wrapped._replace(ciphertext=b""), aad=AAD)

        message = caught.value.message
        assert message, "an error says what is wrong"
        assert not message.endswith("."), "a message has no full stop; advice goes in 'hint'"
        assert "\n" not in message


def _use(key_wrapper: KeyWrapper, dek: bytes) -> None:
    wrapped = key_wrapper.wrap(dek, aad=AAD)
    key_wrapper.unwrap(wrapped, aad=AAD)
    with pytest.raises(DecryptionError):
        key_wrapper.unwrap(wrapped._replace(ciphertext=wrapped.ciphertext[:-1]), aad=AAD)

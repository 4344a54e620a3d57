"""Conformance: a plaintext DEK passes through the plugin and leaves no trace."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from ..errors import DecryptionError
from ..keys.discovery import Plugin
from ..plugin import DEK_BYTES, KeyWrapper
from .subject import AAD, Subject
from .traces import encodings_of, texts_of_causes

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
            key_wrapper.unwrap(replace(wrapped, ciphertext=wrapped.ciphertext[:-1]), aad=AAD)

        shown = f"{caught.value!s} {caught.value.as_dict()!r}"
        for text in texts_of_causes(caught.value):
            assert text not in shown, "the SDK's text may hold a secret and stays in the cause"

    def test_a_message_is_one_clause(self, key_wrapper: KeyWrapper) -> None:
        wrapped = key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)

        with pytest.raises(DecryptionError) as caught:
            key_wrapper.unwrap(replace(wrapped, ciphertext=b""), aad=AAD)

        message = caught.value.message
        assert message, "an error says what is wrong"
        assert not message.endswith("."), "a message has no full stop; advice goes in 'hint'"
        assert "\n" not in message


def _use(key_wrapper: KeyWrapper, dek: bytes) -> None:
    wrapped = key_wrapper.wrap(dek, aad=AAD)
    key_wrapper.unwrap(wrapped, aad=AAD)
    with pytest.raises(DecryptionError):
        key_wrapper.unwrap(replace(wrapped, ciphertext=wrapped.ciphertext[:-1]), aad=AAD)

"""The PIN of a token: one source, read once, never shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ksm_storage.contract.settings import Setting, Settings, checked
from ksm_storage.errors import AuthenticationError, PermissionDeniedError, SettingsError
from ksm_storage.plugin import PinSource, pin_options

PIN = "canary-4711"


def _source(**given: object) -> PinSource:
    options = {option.name: option for option in pin_options("token")}
    entries: Mapping[str, Setting] = {
        name: checked(option, given[name], source="argument")
        if name in given
        else Setting(option.default, "default")
        for name, option in options.items()
    }
    return PinSource.from_settings(Settings(options, entries))


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_line_end_after_the_pin_is_no_part_of_it(tmp_path: Path, end: str) -> None:
    path = tmp_path / "pin"
    path.touch(mode=0o600)
    path.write_text(f"\ufeff{PIN}{end}", encoding="utf-8", newline="")

    assert _source(pin=f"{PIN}{end}").read("token") == PIN
    assert _source(pin=lambda: f"{PIN}{end}").read("token") == PIN
    assert _source(pin_file=str(path)).read("token") == PIN


@pytest.mark.parametrize("pin", ["", "\n", "a\nb", "a\rb", "a\0b", "p" * 4097])
def test_what_no_token_can_have_as_a_pin_is_refused(pin: str) -> None:
    with pytest.raises(SettingsError, match="the PIN"):
        _source(pin=pin).read("token")


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    path.write_text(PIN)
    path.chmod(0o644)

    with pytest.raises(PermissionDeniedError, match="other users"):
        _source(pin_file=str(path)).read("token")


def test_a_descriptor_gives_the_pin_once() -> None:
    read, write = os.pipe()
    os.write(write, PIN.encode())
    os.close(write)
    source = _source(pin_fd=read)

    assert source.read("token") == PIN
    with pytest.raises(AuthenticationError, match="read before"):
        source.read("token")

    os.close(read)


def test_a_pin_that_is_not_set_is_a_wrong_setting_with_advice() -> None:
    with pytest.raises(SettingsError, match="the token 'x' requires a PIN") as caught:
        _source(prompt="never").read("token 'x'", hint="; or do without")

    assert str(caught.value.hint).endswith("; or do without")


def test_two_sources_are_refused_and_neither_is_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="more than once") as caught:
        _source(pin=PIN, pin_file=str(tmp_path))

    assert "canary" not in str(caught.value)
    assert "canary" not in repr(_source(pin=PIN))

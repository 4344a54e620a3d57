"""A secret that is put into the wrong setting is not repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksm_storage.contract.redaction import shown_path, shown_value
from ksm_storage.contract.settings import Option, Settings, checked
from ksm_storage.errors import SettingsError

DOCUMENT = '{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----"}'
NOT_PATHS = ["4711", "dGhpcyBpcyBhIHNlY3JldA==", DOCUMENT, "/" * 5000, "/pin\0", "\ud800"]


def settings_of(option: Option, value: object) -> Settings:
    return Settings({option.name: option}, {option.name: checked(option, value, source="argument")})


def test_an_absolute_path_is_shown() -> None:
    assert shown_path("/etc/ksm/pin") == "'/etc/ksm/pin'"


def test_a_relative_path_is_shown_if_it_leads_to_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").touch()

    assert shown_path("ca.pem") == "'ca.pem'"


@pytest.mark.parametrize("value", NOT_PATHS)
def test_what_is_no_path_is_not_shown(value: str) -> None:
    assert shown_path(value) == "(not shown: not an absolute path)"


@pytest.mark.parametrize("value", NOT_PATHS)
def test_the_error_for_a_file_that_is_not_there_does_not_repeat_what_is_no_path(value: str) -> None:
    settings = settings_of(Option("credentials_file", "Help."), value)

    with pytest.raises(SettingsError, match=r"the file \(not shown") as caught:
        settings.file("credentials_file")

    assert value not in str(caught.value)


@pytest.mark.parametrize("value", ["hunter2", "Nf8Q~abcdef", "a" * 25, DOCUMENT, "4711"])
def test_a_secret_that_is_none_of_the_choices_is_not_repeated(value: str) -> None:
    option = Option("credential", "Help.", choices=("default", "cli"))

    with pytest.raises(SettingsError, match=r"one of default, cli\nhint: write") as caught:
        checked(option, value, source="argument")

    assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pin_file", "4711"),
        ("certificate_path", "hunter2"),
        ("endpoint", "https://user:hunter2@kms.example"),
        ("region", DOCUMENT),
        ("region", f"\ufeff {DOCUMENT}"),
        ("region", "-----BEGIN PRIVATE KEY-----"),
    ],
)
def test_what_may_be_a_secret_is_not_shown_where_settings_are_listed(name: str, value: str) -> None:
    shown = settings_of(Option(name, "Help."), value).shown(name)

    assert shown.startswith("(not shown: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("pin_file", "/etc/pin"), ("endpoint", "https://kms.example"), ("deadline", 2.5)],
)
def test_other_values_are_shown_as_they_are(name: str, value: object) -> None:
    assert shown_value(name, value) == str(value)

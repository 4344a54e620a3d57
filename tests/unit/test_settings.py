"""A setting has the type that its option declares, and a secret is not shown."""

from __future__ import annotations

import copy
import pickle
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ksm_storage.contract.settings import Option, Setting, Settings, SettingValue, checked
from ksm_storage.errors import SettingsError

SECRET = "hunter2"


def settings_of(option: Option, value: object) -> Settings:
    return Settings({option.name: option}, {option.name: checked(option, value, source="argument")})


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (str, "eu", "eu"),
        (str, "", ""),
        (int, 3, 3),
        (int, "3", 3),
        (int, "-3", -3),
        (float, 3, 3.0),
        (float, "2.5", 2.5),
        (float, 2.5, 2.5),
        (bool, True, True),
        (bool, "yes", True),
        (bool, "TRUE", True),
        (bool, "1", True),
        (bool, "no", False),
        (bool, "False", False),
        (bool, "0", False),
    ],
)
def test_a_value_is_converted_to_the_kind_of_its_option(
    kind: type[str] | type[int] | type[float] | type[bool], given: object, expected: SettingValue
) -> None:
    value = checked(Option("name", "Help.", kind), given, source="argument").value

    assert value == expected
    assert type(value) is kind


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (str, 3),
        (str, True),
        (str, b"eu"),
        (int, "three"),
        (int, "2.5"),
        (int, 2.5),
        (int, True),
        (float, True),
        (float, "fast"),
        (float, "nan"),
        (float, "inf"),
        (float, float("nan")),
        pytest.param(float, 10**400, id="a float beyond all"),
        pytest.param(int, 10**400, id="an int beyond all"),
        pytest.param(int, "9" * 400, id="a text beyond all"),
        (bool, "maybe"),
        (bool, 1),
        (bool, ""),
        (str, ["eu"]),
        (str, {"eu": 1}),
    ],
)
def test_a_value_of_another_kind_is_refused(
    kind: type[str] | type[int] | type[float] | type[bool], given: object
) -> None:
    with pytest.raises(
        SettingsError, match=f"'name' from environment must be of .*{kind.__name__}"
    ):
        checked(Option("name", "Help.", kind), given, source="environment")


def test_a_value_that_is_none_of_the_choices_is_refused_with_the_choices() -> None:
    option = Option("mode", "Help.", choices=("fast", "safe"))

    with pytest.raises(SettingsError, match="one of fast, safe, not 'slow'"):
        checked(option, "slow", source="argument")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("Managed_Identity", "did you mean 'managed-identity'?"),
        ("managed-identiy", "did you mean 'managed-identity'?"),
        ("azure", "write one of these"),
        ("ckm-aes-gcm", "did you mean 'CKM_AES_GCM'?"),
    ],
)
def test_a_value_that_is_near_a_choice_has_it_in_the_hint(given: str, hint: str) -> None:
    option = Option("credential", "Help.", choices=("managed-identity", "cli", "CKM_AES_GCM"))

    with pytest.raises(SettingsError) as caught:
        settings_of(option, given)

    assert hint in str(caught.value.hint)


def test_a_secret_that_is_none_of_the_choices_is_not_shown() -> None:
    option = Option("mode", "Help.", secret=True, choices=("fast",))

    with pytest.raises(SettingsError) as caught:
        checked(option, SECRET, source="argument")

    assert SECRET not in str(caught.value)


def test_a_secret_of_another_kind_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        checked(Option("pin", "Help.", int, secret=True), SECRET, source="argument")

    assert SECRET not in str(caught.value)


def test_a_secret_may_be_a_function_that_is_called_when_it_is_needed() -> None:
    calls: list[str] = []

    def ask() -> str:
        calls.append("asked")
        return SECRET

    settings = settings_of(Option("pin", "Help.", secret=True), ask)
    before = list(calls)

    assert (before, settings.text("pin"), calls) == ([], SECRET, ["asked"])


def test_a_function_is_refused_for_what_is_no_secret() -> None:
    with pytest.raises(SettingsError, match="must not be a callable"):
        checked(Option("region", "Help."), lambda: "eu", source="argument")


def test_a_secrets_function_that_fails_is_a_settings_error_without_its_text() -> None:
    def fail() -> str:
        raise ValueError(SECRET)

    with pytest.raises(SettingsError) as caught:
        settings_of(Option("pin", "Help.", secret=True), fail).text("pin")

    assert SECRET not in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_secrets_function_that_returns_no_string_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="returned no string"):
        settings_of(Option("pin", "Help.", secret=True), lambda: b"1234").text("pin")


def test_no_repr_shows_a_value() -> None:
    option = Option("pin", "Help.", secret=True)
    setting = checked(option, SECRET, source="argument")

    assert SECRET not in repr(setting)
    assert repr(Settings({"pin": option}, {"pin": setting})) == "<Settings: pin from argument>"
    assert repr(Settings({}, {})) == "<Settings: none>"


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_settings_are_not_pickled_or_copied(copied: Callable[[Settings], object]) -> None:
    settings = settings_of(Option("pin", "Help.", secret=True), SECRET)

    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        copied(settings)


def test_a_required_setting_that_is_missing_is_an_error_with_the_plugins_advice() -> None:
    settings = Settings({"pin": Option("pin", "Help.")}, {"pin": Setting(None, "default")})

    with pytest.raises(SettingsError, match="'pin' is missing") as caught:
        settings.required_text("pin", hint="give it")

    assert caught.value.hint == "give it"


def test_typed_readers_return_their_types() -> None:
    number, flag = Option("seconds", "Help.", int), Option("quiet", "Help.", bool)

    assert settings_of(number, 3).number("seconds") == 3.0
    assert settings_of(flag, "yes").flag("quiet") is True
    assert settings_of(flag, False).flag("quiet") is False


def test_a_text_is_no_number() -> None:
    with pytest.raises(SettingsError, match="not a number"):
        settings_of(Option("region", "Help."), "eu").number("region")


def test_a_setting_knows_where_it_came_from() -> None:
    option = Option("region", "Help.")
    settings = settings_of(option, "eu")

    assert settings.source("region") == "argument"
    assert settings.given("region")
    assert settings.option("region") is option
    assert list(settings) == ["region"]


@pytest.mark.parametrize("given", [0, -1])
def test_a_time_is_above_nothing(given: float) -> None:
    settings = settings_of(Option("deadline", "Help.", float, default=1.0), given)

    with pytest.raises(SettingsError, match="'deadline' must be a number of seconds above 0"):
        settings.seconds("deadline")


def test_a_time_is_given_as_a_number() -> None:
    assert settings_of(Option("deadline", "Help.", float, default=1.0), "0.5").seconds(
        "deadline"
    ) == pytest.approx(0.5)


@pytest.mark.parametrize("given", [1e12, 1e308, "1e30"])
def test_a_time_longer_than_a_socket_can_wait_is_one_that_it_can(given: object) -> None:
    seconds = settings_of(Option("deadline", "Help.", float, default=1.0), given).seconds(
        "deadline"
    )

    with socket.socket() as waiting:
        waiting.settimeout(seconds)
    assert seconds > 20 * 24 * 3600


def test_a_file_must_exist(tmp_path: Path) -> None:
    settings = settings_of(Option("ca_file", "Help."), str(tmp_path / "gone.pem"))

    with pytest.raises(SettingsError, match=r"gone\.pem' of the setting 'ca_file' does not exist"):
        settings.file("ca_file")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    settings = settings_of(Option("ca_file", "Help."), str(tmp_path))

    with pytest.raises(SettingsError, match="does not exist"):
        settings.file("ca_file")


def test_a_file_that_is_not_named_is_none() -> None:
    option = Option("ca_file", "Help.")

    assert (
        Settings({"ca_file": option}, {"ca_file": Setting(None, "default")}).file("ca_file") is None
    )

"""Settings come from the argument, the environment and the user's file, in that order."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import platformdirs
import pytest

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.contract.settings import Option
from ksm_storage.errors import SettingsError
from ksm_storage.keys.setting_sources import (
    FILE_VARIABLE,
    environment_name,
    gather_settings,
    settings_file,
    settings_file_expected,
)

URI = KeyUri("acme", "keys/one")
OPTIONS = [Option("region", "Help.", default="home"), Option("retry_count", "Help.", int)]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings.toml"
    path.touch(mode=0o600)
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    return path


def region_of(arguments: dict[str, dict[str, object]] | None = None) -> tuple[str | None, str]:
    settings = gather_settings(URI, OPTIONS, arguments)
    return settings.text("region"), settings.source("region")


def test_nothing_given_is_the_default() -> None:
    assert region_of() == ("home", "default")


def test_the_file_goes_before_the_default(file: Path) -> None:
    file.write_text('[acme]\nregion = "file"\n')

    assert region_of() == ("file", "settings file")


def test_the_environment_goes_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[acme]\nregion = "file"\n')
    monkeypatch.setenv("KSM_STORAGE_ACME_REGION", "environment")

    assert region_of() == ("environment", "environment")


def test_the_argument_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSM_STORAGE_ACME_REGION", "environment")

    assert region_of({"acme": {"region": "argument"}}) == ("argument", "argument")


def test_the_settings_of_one_key_go_before_those_of_its_provider(file: Path) -> None:
    file.write_text('[acme]\nregion = "provider"\n["acme://keys/one"]\nregion = "key"\n')

    assert region_of() == ("key", "settings file")


def test_the_settings_of_another_key_are_not_taken(file: Path) -> None:
    file.write_text('["acme://keys/two"]\nregion = "other"\n[acme2]\nregion = "other"\n')

    assert region_of() == ("home", "default")


def test_none_as_an_argument_means_not_given() -> None:
    assert region_of({"acme": {"region": None}}) == ("home", "default")


def test_the_environment_gives_numbers_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSM_STORAGE_ACME_RETRY_COUNT", "3")

    assert gather_settings(URI, OPTIONS).number("retry_count") == 3


def test_an_environment_variable_is_named_after_provider_and_option() -> None:
    assert environment_name("aws-kms", "ca_bundle") == "KSM_STORAGE_AWS_KMS_CA_BUNDLE"


@pytest.mark.parametrize("section", ["acme", "acme://keys/one"])
def test_an_unknown_option_is_refused_with_the_known_ones(section: str) -> None:
    with pytest.raises(SettingsError, match="unknown option 'regoin' for acme") as caught:
        gather_settings(URI, OPTIONS, {section: {"regoin": "x"}})

    assert caught.value.hint == "available options: region, retry_count"


def test_an_unknown_option_in_the_file_is_refused(file: Path) -> None:
    file.write_text("[acme]\nnothing = 1\n")

    with pytest.raises(
        SettingsError, match="unknown option 'nothing' for acme \\(from settings file\\)"
    ):
        gather_settings(URI, OPTIONS)


def test_settings_that_are_no_table_are_refused(file: Path) -> None:
    file.write_text("acme = 1\n")

    with pytest.raises(SettingsError, match="must be a table of options"):
        gather_settings(URI, OPTIONS)


@pytest.mark.parametrize("content", [b"[acme", b"\xff\xfe", b"a = hunter2", b"a=" + b"[" * 99_999])
def test_a_file_that_is_no_toml_is_refused_without_its_text(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    with pytest.raises(SettingsError, match="not valid TOML") as caught:
        gather_settings(URI, OPTIONS)

    assert "hunter2" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's; Windows has its own lists")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)

    with pytest.raises(SettingsError, match="writable by other users") as caught:
        gather_settings(URI, OPTIONS)

    assert "chmod go-w" in (caught.value.hint or "")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)
@pytest.mark.parametrize(
    ("owner", "mode", "caller", "problem", "hint"),
    [
        (4321, 0o644, 0, "belongs to another user", "run: chown root "),
        (4321, 0o644, 1000, "belongs to another user", "install -m 600 "),
        (65534, 0o644, 0, "belongs to another user", "install -m 600 "),
        (0, 0o666, 1000, "is writable by other users", "install -m 600 "),
        (1000, 0o666, 1000, "is writable by other users", "run: chmod go-w "),
    ],
)
def test_the_cure_can_be_followed_by_the_caller(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: int,
    mode: int,
    caller: int,
    problem: str,
    hint: str,
) -> None:
    os.chown(file, owner, owner)
    file.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: caller)

    with pytest.raises(SettingsError, match=problem) as caught:
        gather_settings(URI, OPTIONS)

    assert hint in (caught.value.hint or "")


@pytest.mark.skipif(sys.platform != "linux", reason="mounts are Linux's")
def test_the_cure_on_a_read_only_file_system_is_a_copy(file: Path) -> None:
    from tests.unit.storage import forked

    file.chmod(0o666)

    def refused() -> None:
        with pytest.raises(SettingsError) as caught:
            gather_settings(URI, OPTIONS)
        assert "install -m 600 " in str(caught.value.hint)

    place = str(file.parent)
    assert forked.run_with_mount(["-o", "bind,ro", place, place], refused) == 0


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's; Windows has its own lists")
def test_a_file_that_others_can_read_is_accepted(file: Path) -> None:
    file.chmod(0o644)

    gather_settings(URI, OPTIONS)


def test_a_file_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path))

    with pytest.raises(SettingsError):
        gather_settings(URI, OPTIONS)


@pytest.mark.parametrize("missing", ["gone.toml", "gone/settings.toml", "file/settings.toml"])
def test_a_file_that_is_named_and_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    (tmp_path / "file").touch()
    path = str(tmp_path / missing)
    monkeypatch.setenv(FILE_VARIABLE, path)

    with pytest.raises(SettingsError, match="cannot read the settings file") as caught:
        gather_settings(URI, OPTIONS)

    assert repr(path) in caught.value.message
    assert caught.value.hint == (
        f"correct $KSM_STORAGE_SETTINGS, or set it to {os.devnull} to use no settings file"
    )
    assert settings_file_expected()


def test_the_null_device_is_no_settings_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE_VARIABLE, os.devnull)

    assert region_of() == ("home", "default")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no variable names the home alone")
@pytest.mark.parametrize("home", ["/dev/null", "/nonexistent"])
def test_a_home_that_is_no_folder_has_no_settings_file(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", home)

    assert region_of() == ("home", "default")
    assert not settings_file_expected()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no variable names the home alone")
@pytest.mark.parametrize("name", ["XDG_CONFIG_HOME", "HOME"])
def test_a_settings_file_in_the_current_folder_is_not_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv(name, "relative")
    monkeypatch.chdir(tmp_path)
    for folder in ("relative", "relative/.config"):
        planted = tmp_path / folder / "ksm-storage" / "settings.toml"
        planted.parent.mkdir(parents=True)
        planted.write_text('[acme]\nregion = "planted"\n')

    assert region_of() == ("home", "default")


@pytest.mark.parametrize("given", [None, "", "/elsewhere"])
def test_the_users_file_lies_where_platformdirs_says(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    if given is not None:
        monkeypatch.setenv("XDG_CONFIG_HOME", given)

    folder = platformdirs.user_config_path("ksm-storage", appauthor=False)

    assert Path(settings_file()) == folder / "settings.toml"

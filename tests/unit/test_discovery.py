"""A provider's name leads to its plugin, and a key's name to its provider."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import (
    PluginContractError,
    PluginLoadError,
    PluginNotFoundError,
    SettingsError,
)
from ksm_storage.keys.discovery import Plugin, find_plugin, resolve_key
from ksm_storage.testing.distributions import write_distribution

SOURCE = """
from ksm_storage.plugin import *

@hookimpl
def recognise_key(text):
    return text[5:] if text.startswith("acme:") else None

@hookimpl
def key_covers(trusted, key_id):
    return {"alias": True, "yes": "yes", "one": 1, "no": False}.get(trusted)

@hookimpl
def newest_version(key_id, algorithm):
    return {"key": "alias", "other": "another key", "junk": 1}.get(key_id)
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    _install(tmp_path, "acme", SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return find_plugin("acme")


def test_an_object_that_must_not_be_looked_at_keeps_no_plugin_from_its_hooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the lazy objects of web frameworks do outside of a request.
    lazy = """
class Lazy:
    @property
    def __class__(self):
        raise RuntimeError("outside of a request")

request = Lazy()
"""
    _install(tmp_path, "lazy", SOURCE.replace("acme:", "lazy:") + lazy)
    monkeypatch.syspath_prepend(tmp_path)

    assert resolve_key("lazy:one") == KeyUri("lazy", "one")


def test_a_plugin_whose_attributes_cannot_be_looked_at_harms_no_other(
    acme: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = """
class Broken:
    def __get__(self, *_): ...

    def __getattr__(self, name):
        raise RuntimeError(name)

broken = Broken()
"""
    _install(tmp_path / "first", "aaa", broken)
    monkeypatch.syspath_prepend(tmp_path / "first")

    with pytest.raises(PluginLoadError, match=r"cannot load the plugin 'aaa' .* RuntimeError"):
        find_plugin("aaa")
    assert resolve_key("acme:keys/one") == KeyUri("acme", "keys/one")


@pytest.mark.parametrize("raised", ["RuntimeError", "SystemExit"])
def test_a_plugin_that_fails_when_its_names_are_listed_cannot_be_loaded(
    raised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(tmp_path, "hidden", f"def __dir__():\n    raise {raised}")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(PluginLoadError, match=rf"cannot load the plugin 'hidden' .* {raised}"):
        find_plugin("hidden")


def test_the_hook_that_does_not_exist_is_named_and_not_an_optional_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = """
from ksm_storage.plugin import hookimpl

@hookimpl(optionalhook=True)
def a_hook_of_tomorrow(text): ...

@hookimpl
def recognise_keys(text): ...
"""
    _install(tmp_path, "misspelt", hooks)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(PluginLoadError, match="unknown hook: 'recognise_keys'") as caught:
        find_plugin("misspelt")

    assert caught.value.hint == "did you mean 'recognise_key'?"


def test_a_plugin_is_loaded_once(acme: Plugin) -> None:
    assert find_plugin("acme") is acme


def test_a_plugin_that_is_imported_anew_is_loaded_anew(
    acme: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    [module] = [name for name in sys.modules if name.startswith("acme_")][-1:]
    monkeypatch.delitem(sys.modules, module)

    assert find_plugin("acme") is not acme


def test_the_plugin_says_who_offers_it(acme: Plugin) -> None:
    assert (acme.provider, acme.distribution, acme.version) == ("acme", "acme-plugin", "2.1")


def test_a_plugin_without_options_has_none(acme: Plugin) -> None:
    assert list(acme.options()) == []


def test_a_plugin_that_opens_nothing_is_a_contract_error(acme: Plugin) -> None:
    from ksm_storage.contract.settings import Settings

    with pytest.raises(PluginContractError, match="'open_key_wrapper' of acme-plugin"):
        acme.open_key_wrapper("key", Settings({}, {}))


def test_a_native_name_is_resolved_by_the_plugin_that_recognises_it(acme: Plugin) -> None:
    assert resolve_key("acme:keys/one") == KeyUri("acme", "keys/one")


def test_a_key_uri_is_read_as_it_stands(acme: Plugin) -> None:
    assert resolve_key("acme://acme:keys/one") == KeyUri("acme", "acme:keys/one")


@pytest.mark.parametrize("text", ["", "prod", "client-config.json"])
def test_a_text_that_names_no_key_is_a_settings_error(acme: Plugin, text: str) -> None:
    with pytest.raises(SettingsError):
        resolve_key(text)


def test_a_uri_of_an_unknown_provider_is_left_for_the_plugin_search() -> None:
    uri = resolve_key("no-such-provider://key")

    with pytest.raises(PluginNotFoundError, match="'no-such-provider'"):
        find_plugin(uri.provider)


def test_without_a_close_name_the_hint_lists_what_is_installed() -> None:
    with pytest.raises(PluginNotFoundError) as caught:
        find_plugin("xyzzy")

    assert "key-file, " in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("trusted", "covers"),
    [("key", True), ("alias", True), ("no", False), ("yes", False), ("one", False), ("?", False)],
)
def test_only_equality_or_a_plain_yes_covers_a_key(
    acme: Plugin, trusted: str, covers: bool
) -> None:
    assert acme.key_covers(trusted, "key") is covers


def test_the_newest_version_is_asked_for_by_the_name_that_the_plugin_gives(acme: Plugin) -> None:
    assert acme.newest_version(KeyUri("acme", "key"), "A", b"") == KeyUri("acme", "alias")


def test_a_key_without_versions_is_its_own_newest(acme: Plugin) -> None:
    assert acme.newest_version(KeyUri("acme", "plain"), "A", b"") == KeyUri("acme", "plain")


@pytest.mark.parametrize("key_id", ["other", "junk"])
def test_a_newest_version_that_is_another_key_is_refused(acme: Plugin, key_id: str) -> None:
    with pytest.raises(PluginContractError, match="returned a different key"):
        acme.newest_version(KeyUri("acme", key_id), "A", b"")


def _install(folder: Path, provider: str, source: str) -> None:
    module = f"{provider}_{abs(hash(str(folder))):x}"
    write_distribution(
        folder,
        f"{provider}-plugin",
        version="2.1",
        providers={provider: module},
        modules={f"{module}.py": source},
    )

"""Conformance: the hooks load without the SDK, and abilities tell the truth."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from ..contract.abilities import NEEDS, DescribesKey, ProbesPermissions, is_public_key_algorithm
from ..contract.key_wrapper import KeyUri
from ..errors import SettingsError
from ..keys.discovery import Plugin
from ..keys.kek import Kek
from ..keys.kek_abilities import describe_access, describe_key, probe_permissions, wrapping_version
from ..keys.setting_sources import gather_settings
from ..plugin import DEK_BYTES, KeyWrapper
from .subject import AAD, Opener, Subject

NOBODYS_NAMES = ("", "prod", "/etc/app.key", "C:\\app.key", "client-config.json", "no://such/key")

_LOADED_MODULES = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from ksm_storage.keys.discovery import find_plugin
from ksm_storage.contract.key_wrapper import KeyUri
plugin = find_plugin(sys.argv[2])
plugin.options()
for text in json.loads(sys.argv[3]):
    plugin.recognise_key(text)
    plugin.key_covers(text, "another")
    plugin.newest_version(KeyUri(sys.argv[2], text or "key"), "algorithm", b"")
print(json.dumps(sorted(sys.modules)))
"""


class PluginTests(Subject):
    """Read what the hooks say about the plugin."""

    def test_every_option_says_what_it_does(self, plugin: Plugin) -> None:
        for option in plugin.options():
            assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", option.name), option
            assert re.fullmatch(r"[A-Z].*\.", option.help), f"{option.name}: a sentence of help"

    def test_every_default_is_one_of_the_values_that_the_option_allows(
        self, plugin: Plugin
    ) -> None:
        for option in plugin.options():
            if option.default is not None:
                assert isinstance(option.default, option.kind), option
                assert not option.secret, f"{option.name}: a secret has no default"
                assert not option.choices or option.default in option.choices, option

    def test_every_option_stands_in_the_documentation(self, plugin: Plugin) -> None:
        if self.documentation is None or not self.documentation.exists():
            pytest.skip("no 'documentation' names the plugin's page")
        rows = re.findall(r"^\| `(\w+)` \|", self.documentation.read_text("utf-8"), re.MULTILINE)

        assert {option.name for option in plugin.options()} <= set(rows)

    def test_an_unknown_setting_is_refused(self, plugin: Plugin, key_id: str) -> None:
        uri = KeyUri(plugin.provider, key_id)

        with pytest.raises(SettingsError, match="no_such_option"):
            gather_settings(uri, plugin.options(), {plugin.provider: {"no_such_option": "1"}})

    def test_a_key_id_is_one_that_a_uri_can_hold(self, key_id: str, other_key_id: str) -> None:
        for each in (key_id, other_key_id):
            assert KeyUri(self.provider, each).key_id == each

    @pytest.mark.parametrize("text", NOBODYS_NAMES)
    def test_a_name_that_is_not_the_providers_is_not_recognised(
        self, plugin: Plugin, text: str
    ) -> None:
        assert plugin.recognise_key(text) is None

    def test_the_providers_own_names_are_recognised(self, plugin: Plugin) -> None:
        if not self.native_names:
            pytest.skip("no 'native_names' list the provider's own way to name a key")

        for text, key_id in self.native_names.items():
            assert plugin.recognise_key(text) == KeyUri(self.provider, key_id)

    def test_the_hooks_do_not_import_the_sdk(self) -> None:
        if not self.sdk_modules:
            pytest.skip("no 'sdk_modules' say what the service's SDK is made of")
        texts = [*NOBODYS_NAMES, *self.native_names]

        # Another process: this one may have imported the SDK for other tests.
        ran = subprocess.run(  # noqa: S603  # our own interpreter, our own text
            [
                *(sys.executable, "-c", _LOADED_MODULES),
                *(json.dumps(sys.path), self.provider, json.dumps(texts)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert ran.returncode == 0, ran.stderr
        loaded = [
            name
            for name in json.loads(ran.stdout)
            if any(name == sdk or name.startswith(f"{sdk}.") for sdk in self.sdk_modules)
        ]
        assert not loaded, "import the SDK when a key is opened, not with the hooks"


_UNUSABLE = (
    ("endpoint", "kms.example"),
    ("endpoint", "ftp://127.0.0.1"),
    ("endpoint", "http://kms.example"),
    ("endpoint", "http://127.0.0.1.example"),
    ("ca_file", "/no/such/file.pem"),
    ("ca_file", os.devnull),
    *(("deadline", value) for value in (0, -1.0, float("inf"), float("nan"))),
    *((name, 0) for name in ("connect_timeout", "read_timeout")),
)
_LOOPBACK = ("http://127.0.0.2:1", "http://[::1]:1", "http://localhost:1")


class StandardOptionTests(Subject):
    """Give the options that the kit's ``standard_options`` declares values without sense."""

    @pytest.mark.parametrize(("name", "value"), _UNUSABLE)
    def test_a_setting_that_cannot_be_used_is_refused_when_the_key_is_opened(
        self, plugin: Plugin, open_wrapper: Opener, key_id: str, name: str, value: object
    ) -> None:
        _require_option(plugin, name)

        with pytest.raises(SettingsError) as caught:
            open_wrapper(key_id, {name: value})

        assert repr(name) in caught.value.message, "the message names the setting"

    @pytest.mark.parametrize("url", _LOOPBACK)
    def test_plain_http_to_this_machine_is_accepted(
        self, plugin: Plugin, open_wrapper: Opener, key_id: str, url: str
    ) -> None:
        _require_option(plugin, "endpoint")

        open_wrapper(key_id, {"endpoint": url})


def _require_option(plugin: Plugin, name: str) -> None:
    if name not in {option.name for option in plugin.options()}:
        pytest.skip(f"the plugin has no option {name!r}")


class AbilityTests(Subject):
    """Test the abilities that the key wrapper has; those it has not are skipped."""

    def test_a_key_that_opens_is_described_as_enabled(self, key_wrapper: KeyWrapper) -> None:
        kek = self._describing(key_wrapper)

        described = describe_key(kek)

        assert described is not None
        assert described.state == "enabled", "the suite's key wraps and unwraps"
        assert described.deletion is None, "the suite's key is not about to be destroyed"

    def test_a_fresh_wrap_is_under_the_current_version(self, key_wrapper: KeyWrapper) -> None:
        kek = self._describing(key_wrapper)
        wrapped = key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)

        version = wrapping_version(kek, wrapped, aad=AAD)

        described = describe_key(kek)
        assert described is not None
        if version is not None and described.current_version is not None:
            assert version == described.current_version

    def test_a_key_whose_algorithm_needs_no_secret_is_called_public(
        self, key_wrapper: KeyWrapper
    ) -> None:
        wrapped = key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)

        described = describe_key(self._describing(key_wrapper))

        assert described is not None
        if is_public_key_algorithm(wrapped.algorithm):
            assert described.public, "anyone who has the public key can wrap under it"

    def test_the_access_is_described(self, key_wrapper: KeyWrapper) -> None:
        labels = describe_access(self._probing(key_wrapper))

        assert labels

    def test_no_permission_is_missing_for_the_suites_own_caller(
        self, key_wrapper: KeyWrapper
    ) -> None:
        probes = probe_permissions(self._probing(key_wrapper))

        assert probes
        missing = [probe.permission for probe in probes if probe.granted is False]
        assert not missing, "the suite's caller may do all that it does"

    def test_each_permission_has_a_need(self, key_wrapper: KeyWrapper) -> None:
        probes = probe_permissions(self._probing(key_wrapper))

        assert probes
        assert {probe.need for probe in probes} <= set(NEEDS)
        assert "open" in {probe.need for probe in probes}, "opening a file takes a permission"

    def _describing(self, key_wrapper: KeyWrapper) -> Kek:
        if not isinstance(key_wrapper, DescribesKey):
            pytest.skip("the key wrapper does not describe its key")
        return Kek(KeyUri(self.provider, "under-test"), key_wrapper)

    def _probing(self, key_wrapper: KeyWrapper) -> Kek:
        if not isinstance(key_wrapper, ProbesPermissions):
            pytest.skip("the key wrapper does not probe permissions")
        return Kek(KeyUri(self.provider, "under-test"), key_wrapper)

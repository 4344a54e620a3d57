"""The table behind the hints knows each provider, and each provider's own names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from types import ModuleType, SimpleNamespace

import pluggy
import pytest

from ksm_storage.contract import hookspecs
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import PluginNotFoundError, SettingsError
from ksm_storage.keys import discovery
from ksm_storage.keys.discovery import (
    BUILT_IN,
    DISTRIBUTIONS,
    LOCAL,
    OFFLINE,
    find_entry_points,
    find_plugin,
    resolve_key,
)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no plugin be found."""
    monkeypatch.setattr(discovery, "find_entry_points", list)


@pytest.mark.parametrize(
    ("provider", "target"),
    [
        ("aws-kms", "'.[aws]'"),
        ("azure-kv", "'.[azure]'"),
        ("gcp-kms", "'.[gcp]'"),
        ("oracle-kv", "'.[oracle]'"),
        ("pkcs11", "'.[hsm]'"),
        ("tpm2", "'.[tpm2]'"),
        ("vault-transit", "'.[vault-transit]'"),
    ],
)
@pytest.mark.usefixtures("nothing_installed")
def test_the_hint_for_a_known_provider_installs_it_from_a_clone(provider: str, target: str) -> None:
    with pytest.raises(PluginNotFoundError) as caught:
        find_plugin(provider)

    assert caught.value.hint == (
        f"in a clone of ksm-storage run: pip install {target}; the names are on no index yet"
    )


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize("provider", BUILT_IN)
def test_a_built_in_provider_is_found_without_looking_at_what_is_installed(provider: str) -> None:
    assert find_plugin(provider).distribution == "ksm-storage"
    assert resolve_key(f"{provider}://key") == KeyUri(provider, "key")


def test_the_built_in_providers_are_the_entry_points_of_this_distribution() -> None:
    ours = [each for each in find_entry_points() if each.distribution == "ksm-storage"]

    assert {each.name: each.module for each in ours} == BUILT_IN
    assert {find_plugin(name).version for name in BUILT_IN} == {each.version for each in ours}


@pytest.mark.parametrize("provider", BUILT_IN)
def test_pluggy_finds_nothing_wrong_with_the_hooks_of_a_built_in_provider(provider: str) -> None:
    # They are called by their names: what pluggy checks of a plugin is checked here.
    module = import_module(BUILT_IN[provider])
    hooks = {name for name in vars(hookspecs) if hasattr(vars(hookspecs)[name], "ksm_storage_spec")}
    marked = SimpleNamespace(
        **{name: hookspecs.hookimpl(copy_of(module, name)) for name in hooks & set(vars(module))}
    )
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)

    manager.register(marked)
    manager.check_pending()

    for name in vars(marked):
        expected = inspect.signature(getattr(hookspecs, name)).parameters
        assert list(inspect.signature(getattr(module, name)).parameters) == list(expected)
    assert {"key_wrapper_options", "open_key_wrapper"} <= set(vars(marked))


def copy_of(module: ModuleType, name: str) -> Callable[..., object]:
    # Marked itself, the module would stay so for the tests that follow.
    function: Callable[..., object] = getattr(module, name)

    @wraps(function)
    def copy(*arguments: object, **named: object) -> object:
        return function(*arguments, **named)

    return copy


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("arn:aws:kms:eu-west-1:111122223333:key/1234", "aws-kms"),
        ("arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/app", "aws-kms"),
        ("https://v.vault.azure.net/keys/k/0123", "azure-kv"),
        ("https://v.vault.azure.cn/keys/k", "azure-kv"),
        ("https://v.vault.usgovcloudapi.net/keys/k", "azure-kv"),
        ("https://h.managedhsm.azure.net/keys/k", "azure-kv"),
        ("projects/p/locations/global/keyRings/r/cryptoKeys/k", "gcp-kms"),
        ("ocid1.key.oc1.eu-frankfurt-1.vault.unique", "oracle-kv"),
        ("pkcs11:token=t;object=o", "pkcs11"),
        ("arn:aws:s3:::bucket", None),
        ("https://example.com/keys/k", None),
        ("client-config.json", None),
        ("", None),
    ],
)
def test_a_native_name_is_known_by_its_form(text: str, provider: str | None) -> None:
    found = None
    try:
        resolve_key(text)
    except PluginNotFoundError as exc:
        found = exc.provider
    except SettingsError:
        pass

    assert found == provider


def test_the_providers_of_this_project_are_in_the_table() -> None:
    ours = [e for e in find_entry_points() if e.name not in ("minimal", "lockbox")]

    # Other tests and examples install plugins of their own.
    assert {(entry.name, entry.distribution) for entry in ours} <= set(DISTRIBUTIONS.items())


def test_only_the_built_in_providers_are_local() -> None:
    assert {"key-file", "os-keyring", "tpm2"} == LOCAL
    assert {"recovery"} == OFFLINE


SLIPS = (
    ("aws-kms", "arn:aws:kms:EU-WEST-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
    ("aws-kms", "ARN:AWS:KMS:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
    ("aws-kms", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab "),
    ("aws-kms", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab/"),
    ("azure-kv", "https://demo.vault.azure.net/keys/app/"),
    ("azure-kv", "https://demo.vault.azure.net:443/keys/app"),
    ("gcp-kms", "projects/p/locations/l/keyRings/r/cryptoKeys/k/"),
    ("gcp-kms", "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/latest"),
    ("oracle-kv", "OCID1.key.oc1.iad.abc.def"),
    ("oracle-kv", "ocid1.key.oc1.iad.abc.def "),
    ("oracle-kv", "ocid1.vault.oc1.iad.abc.def"),
    ("oracle-kv", "ocid1.keyversion.oc1.iad.abc.def"),
    ("azure-kv", "https://demo.vault.azure.net"),
    ("azure-kv", "https://demo.vault.azure.net/secrets/app"),
    ("pkcs11", "pkcs11:token=My Token;object=app"),
)


@pytest.mark.parametrize(("provider", "text"), SLIPS)
def test_a_slip_in_a_native_name_is_not_a_missing_plugin(provider: str, text: str) -> None:
    if provider not in {entry.name for entry in find_entry_points()}:
        pytest.skip(f"the plugin for {provider} is not installed")

    with pytest.raises(SettingsError, match="not a valid key name") as caught:
        resolve_key(text)

    assert repr(provider) in caught.value.message
    assert "pip install" not in str(caught.value.hint)

"""Which texts name a key, which vaults are Azure's, and which name stands for which."""

from __future__ import annotations

import pytest
from ksm_storage_azure_kv import hooks
from ksm_storage_azure_kv.hooks import HSM_SUFFIXES, VAULT_SUFFIXES

from ksm_storage.errors import SettingsError

from .opening import open_kek

VERSION = "0123456789abcdef0123456789abcdef"
OTHER_VERSION = "f" * 32
KEY = "https://v.vault.azure.net/keys/app"

REFUSED = {
    "nothing": "",
    "a name alone": "app",
    "plain http": "http://v.vault.azure.net/keys/app",
    "a secret": "https://v.vault.azure.net/secrets/app",
    "no name": "https://v.vault.azure.net/keys/",
    "a name with a dot": f"{KEY}.pem",
    "a short version": f"{KEY}/0123",
    "a path behind the version": f"{KEY}/{VERSION}/unwrapkey",
    "a query": f"{KEY}?api-version=7.4",
    "a fragment": f"{KEY}#1",
    "a port": "https://v.vault.azure.net:444/keys/app",
    "a user": "https://me@v.vault.azure.net/keys/app",
    "a host without dots": "https://localhost/keys/app",
    "a line feed": f"{KEY}\n",
    "another host": "https://v.vault.azure.net.example.com/keys/app",
    "a host that ends alike": "https://vvault.azure.net/keys/app",
    "the suffix alone": "https://vault.azure.net/keys/app",
    "two labels": "https://a.b.vault.azure.net/keys/app",
    "an address": "https://127.0.0.1/keys/app",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_a_text_that_names_no_key_in_azure_is_refused_when_it_is_opened(text: str) -> None:
    with pytest.raises(SettingsError):
        open_kek(text)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_a_text_that_names_no_key_in_azure_is_not_recognised(text: str) -> None:
    assert hooks.recognise_key(text) is None


@pytest.mark.parametrize("suffix", VAULT_SUFFIXES + HSM_SUFFIXES)
@pytest.mark.parametrize("version", ["", f"/{VERSION}"])
def test_every_cloud_has_vaults(suffix: str, version: str) -> None:
    open_kek(f"https://v.{suffix}/keys/app{version}").close()


def test_the_scheme_may_be_left_out() -> None:
    open_kek("v.vault.azure.net/keys/app").close()


def test_a_text_without_a_scheme_is_not_taken_for_a_key_where_any_name_may_stand() -> None:
    assert hooks.recognise_key("v.vault.azure.net/keys/app") is None


def test_another_cloud_is_named_by_the_callers_settings_only() -> None:
    key = "https://v.vault.region.example/keys/app"
    with pytest.raises(SettingsError, match="not a host of Azure") as caught:
        open_kek(key)
    assert "dns_suffix" in str(caught.value.hint)

    open_kek(key, dns_suffix="vault.region.example").close()


@pytest.mark.parametrize("suffix", ["", "example", "a b.example", "https://vault.example"])
def test_a_suffix_that_is_no_dns_name_is_refused(suffix: str) -> None:
    with pytest.raises(SettingsError, match="is not a DNS name"):
        open_kek("https://v.vault.azure.net/keys/app", dns_suffix=suffix)


COVERED = {
    "itself": (f"{KEY}/{VERSION}", f"{KEY}/{VERSION}"),
    "a version of the key": (KEY, f"{KEY}/{VERSION}"),
    "without the scheme": ("v.vault.azure.net/keys/app", f"{KEY}/{VERSION}"),
    "the case of the host": ("https://V.Vault.Azure.net/keys/app", f"{KEY}/{VERSION}"),
    "the case of the name": ("https://v.vault.azure.net/keys/App", f"{KEY}/{VERSION}"),
}
NOT_COVERED = {
    "another version": (f"{KEY}/{OTHER_VERSION}", f"{KEY}/{VERSION}"),
    "another key": ("https://v.vault.azure.net/keys/other", f"{KEY}/{VERSION}"),
    "another vault": ("https://w.vault.azure.net/keys/app", f"{KEY}/{VERSION}"),
    "the HSM of the same name": ("https://v.managedhsm.azure.net/keys/app", f"{KEY}/{VERSION}"),
    "a recorded key without version": (KEY, KEY),
    "junk that was recorded": (KEY, "junk"),
    "junk that is trusted": ("junk", f"{KEY}/{VERSION}"),
}


@pytest.mark.parametrize(("trusted", "key_id"), COVERED.values(), ids=COVERED)
def test_a_name_covers_a_version_that_it_may_stand_for(trusted: str, key_id: str) -> None:
    assert hooks.key_covers(trusted, key_id) is True


@pytest.mark.parametrize(("trusted", "key_id"), NOT_COVERED.values(), ids=NOT_COVERED)
def test_a_name_does_not_cover_a_version_that_it_cannot_stand_for(
    trusted: str, key_id: str
) -> None:
    assert hooks.key_covers(trusted, key_id) is False


def test_the_newest_version_is_named_without_one() -> None:
    assert hooks.newest_version(f"{KEY}/{VERSION}") == KEY
    assert hooks.newest_version("junk") is None

"""Settings and variables: what is read, in which order, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from ksm_storage_vault_transit.hooks import key_wrapper_options

from ksm_storage.plugin import SettingsError

from .opening import opened

PAGE = Path(__file__).parents[3] / "docs" / "plugins" / "vault-transit.md"
URL = "https://vault.example.com:8200"


def address(settings: Mapping[str, object]) -> str:
    return opened("transit/app", settings)._client.place


def test_the_setting_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", "https://vault.invalid")
    assert address({"endpoint": f"{URL}/"}) == f"the server at {URL!r}"


def test_bao_goes_before_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", "https://vault.invalid")
    monkeypatch.setenv("BAO_ADDR", URL)

    assert address({}) == f"the server at {URL!r}"


def test_a_message_names_the_namespace_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_NAMESPACE", "team/a")

    assert address({"endpoint": URL}) == f"the server at {URL!r} in the namespace 'team/a'"


@pytest.mark.parametrize("url", ["https://ui", "https://v1/"])
def test_a_host_may_have_the_name_of_a_path_of_the_api(url: str) -> None:
    assert address({"endpoint": url}) == f"the server at {url.rstrip('/')!r}"


def test_no_address_is_an_error_with_advice() -> None:
    with pytest.raises(
        SettingsError, match="address of the Vault or OpenBao server is missing"
    ) as caught:
        opened("transit/app", {})

    assert "VAULT_ADDR" in str(caught.value.hint)


@pytest.mark.parametrize(
    "url", ["http://vault.example.com:8200", "https://u:p@vault.example.com", "vault.example.com"]
)
def test_an_address_that_would_leak_is_refused_from_the_environment_too(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("VAULT_ADDR", url)

    with pytest.raises(SettingsError, match="VAULT_ADDR"):
        opened("transit/app", {})


@pytest.mark.parametrize(
    "settings",
    [
        {"agent_socket": "relative.sock"},
        {"agent_socket": "/" + "s" * 120},
        {"agent_socket": "/run/a.sock", "endpoint": URL},
        {"endpoint": URL, "namespace": "../root"},
        {"endpoint": URL, "token": "t", "token_file": "/etc/hostname"},
        {"endpoint": URL, "credential": "approle"},
        {"endpoint": URL, "credential": "kubernetes"},
        {"endpoint": URL, "credential": "jwt", "role": "r"},
        {"endpoint": URL, "credential": "jwt", "role": "r", "jwt": "j", "auth_mount": "../sys"},
        {"endpoint": URL, "credential": "agent", "token": "t"},
        {"endpoint": URL, "credential": "kubernetes", "role": "r", "secret_id": "s"},
        {"endpoint": URL, "ca_file": "/etc/hostname"},
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant_are_refused(settings: Mapping[str, object]) -> None:
    with pytest.raises(SettingsError):
        opened("transit/app", settings)


def test_a_ca_file_of_the_environment_is_checked_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    monkeypatch.setenv("VAULT_CACERT", str(tmp_path / "ca.pem"))

    with pytest.raises(SettingsError, match="VAULT_CACERT"):
        opened("transit/app", {"endpoint": URL})


@pytest.mark.skipif(not PAGE.exists(), reason="the page is part of the project, not of the sdist")
def test_the_page_lists_every_option_and_no_other() -> None:
    section = PAGE.read_text().split("## Options")[1].split("\n## ")[0]
    listed = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]

    assert sorted(listed) == sorted(option.name for option in key_wrapper_options())

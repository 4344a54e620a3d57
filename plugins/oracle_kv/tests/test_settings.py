"""What is checked when a key is opened, before anything is called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from ksm_storage_oracle_kv.hooks import key_wrapper_options

from ksm_storage.errors import SettingsError
from ksm_storage.keys.discovery import find_plugin

from .opening import AAD, open_kek
from .scripted_vault import DEK, KEY, ScriptedVault, wrapped

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "plugins" / "oracle-kv.md"

REFUSED: Mapping[str, tuple[Mapping[str, object], str]] = {
    "endpoint without a scheme": ({"endpoint": "kms.example"}, "is not an http or https URL"),
    "endpoint of another kind": ({"endpoint": "ftp://127.0.0.1"}, "is not an http or https URL"),
    "endpoint in the clear": ({"endpoint": "http://kms.example"}, "in the clear"),
    "endpoint that looks local": ({"endpoint": "http://127.0.0.1.example"}, "in the clear"),
    "no such file": ({"ca_file": "/no/such/file.pem"}, "does not exist"),
    "no region": ({"region": "evil.example/"}, "not a region name"),
    "no time to connect": ({"connect_timeout": 0}, "'connect_timeout' must be"),
    "no time to read": ({"read_timeout": -1.0}, "'read_timeout' must be"),
    "no end": ({"deadline": float("inf")}, "'deadline'.* must be"),
    "no time for credentials": ({"credential_timeout": 0}, "'credential_timeout' must be"),
    "unknown algorithm": ({"algorithm": "RSA_OAEP_SHA_1"}, "must be one of"),
    "unknown credential": ({"credential": "api-key"}, "must be one of"),
    "profile of an instance": (
        {"credential": "instance-principal", "profile": "x"},
        "'profile' does not belong to credential 'instance-principal'",
    ),
    "passphrase of a resource": (
        {"credential": "resource-principal", "passphrase": "x"},
        "'passphrase' does not belong",
    ),
    "file of a workload": (
        {"credential": "oke-workload", "config_file": "x"},
        "'config_file' does not belong",
    ),
    "federation of a user": (
        {"federation_endpoint": "https://auth.example"},
        "'federation_endpoint' does not belong",
    ),
    "federation in the clear": (
        {"credential": "instance-principal", "federation_endpoint": "http://auth.example"},
        "in the clear",
    ),
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED)
def test_a_setting_that_cannot_be_used_is_refused_when_the_key_is_opened(
    settings: Mapping[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        open_kek(KEY, **{"endpoint": None, **settings})


@pytest.mark.parametrize("endpoint", ["http://127.0.0.2:1", "http://[::1]:1", "http://localhost:1"])
def test_plain_http_to_this_machine_is_accepted(endpoint: str) -> None:
    open_kek(KEY, endpoint).close()


def test_what_goes_in_the_clear_to_this_machine_goes_through_no_proxy(
    scripted: ScriptedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    scripted.answer = wrapped()

    with open_kek(KEY, scripted.url, deadline=5.0) as kek:
        kek.wrap(DEK, aad=AAD)

    assert len(scripted.asked) == 1


def test_an_argument_goes_before_the_environment(
    scripted: ScriptedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_ORACLE_KV_ENDPOINT", "http://127.0.0.1:1")
    scripted.answer = wrapped()

    with open_kek(KEY, f"{scripted.url}/") as kek:
        kek.wrap(DEK, aad=AAD)

    assert scripted.asked[0].path == "/20180608/encrypt"


def test_a_file_of_authorities_without_any_is_refused_when_the_key_is_opened(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(b"")

    with pytest.raises(SettingsError, match="'ca_file' has no valid PEM certificate"):
        open_kek(KEY, ca_file=str(path))


def test_every_option_stands_in_the_documentation() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")

    missing = [
        option.name for option in key_wrapper_options() if f"| `{option.name}` |" not in text
    ]

    assert not missing


def test_the_plugin_is_found_under_its_name() -> None:
    assert find_plugin("oracle-kv").distribution == "ksm-storage-oracle-kv"

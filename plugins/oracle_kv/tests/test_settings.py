"""What is checked when a key is opened, before anything is called."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ksm_storage.errors import SettingsError

from .opening import AAD, open_kek
from .scripted_vault import DEK, KEY, ScriptedVault, wrapped

REFUSED: Mapping[str, tuple[Mapping[str, object], str]] = {
    "no region": ({"region": "evil.example/"}, "not a region name"),
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


def test_an_argument_goes_before_the_environment(
    scripted: ScriptedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_ORACLE_KV_ENDPOINT", "http://127.0.0.1:1")
    scripted.answer = wrapped()

    with open_kek(KEY, f"{scripted.url}/") as kek:
        kek.wrap(DEK, aad=AAD)

    assert scripted.asked[0].path == "/20180608/encrypt"

"""What is checked when a key is opened, before anything is called."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ksm_storage.errors import SettingsError

from .opening import AAD, open_kek
from .scripted_vault import DEK, HSM_KEY, KEY, ScriptedVault, wrapped

SECRET = {"credential": "client-secret", "tenant_id": "t", "client_id": "c", "client_secret": "s"}

REFUSED: Mapping[str, tuple[Mapping[str, object], str]] = {
    "unknown credential": ({"credential": "browser"}, "must be one of"),
    "unknown algorithm": ({"algorithm": "RSA1_5"}, "must be one of"),
    "no secret": ({**SECRET, "client_secret": None}, "'client_secret' is missing"),
    "no tenant": ({**SECRET, "tenant_id": None}, "'tenant_id' is missing"),
    "no certificate": (
        {"credential": "client-certificate", "tenant_id": "t", "client_id": "c"},
        "'certificate_path' is missing",
    ),
    "secret of another kind": (
        {"credential": "managed-identity", "client_secret": "s"},
        "'client_secret' does not belong to credential 'managed-identity'",
    ),
    "secret of the default kind": ({"client_secret": "s"}, "does not belong to credential"),
    "certificate that is not there": (
        {
            "credential": "client-certificate",
            "tenant_id": "t",
            "client_id": "c",
            "certificate_path": "/no/such/file.pem",
        },
        "does not exist",
    ),
    "authority in the clear": (
        {"authority_host": "http://login.example"},
        "must be the name of a host",
    ),
    "authority with a path": (
        {"authority_host": "login.example/tenant"},
        "must be the name of a host",
    ),
    "authority with a user": ({"authority_host": "me@login.example"}, "must be the name of a host"),
    "address without a port": ({"connect_to": "10.0.0.5"}, "is not HOST:PORT"),
    "address with a scheme": ({"connect_to": "https://10.0.0.5:443"}, "is not HOST:PORT"),
    "address with port 0": ({"connect_to": "10.0.0.5:0"}, "is not HOST:PORT"),
    "address with a high port": ({"connect_to": "10.0.0.5:65536"}, "is not HOST:PORT"),
    "no time to sign in": ({"credential_timeout": 0}, "'credential_timeout' must be"),
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED)
def test_a_setting_that_cannot_be_used_is_refused_when_the_key_is_opened(
    settings: Mapping[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        open_kek(KEY, settings)


@pytest.mark.parametrize("name", ["authority_host", "connect_to"])
def test_a_password_in_an_address_is_not_repeated(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_kek(KEY, {name: "http://user:hunter2@proxy.example:3128"})

    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "settings",
    [
        {"authority_host": "login.microsoftonline.us"},
        {"authority_host": "https://login.chinacloudapi.cn/"},
        {"connect_to": "[fd00::5]:443"},
        {"connect_to": "proxy.example:8443"},
        {"credential": "workload-identity", "client_id": "c", "token_file": "/not/yet/there"},
        {"credential": "managed-identity", "client_id": "c"},
    ],
    ids=str,
)
def test_a_setting_that_can_be_used_is_accepted(settings: Mapping[str, object]) -> None:
    open_kek(KEY, settings).close()


@pytest.mark.parametrize(
    ("key", "algorithm", "binds"),
    [
        (KEY, None, False),
        (KEY, "A256GCM", True),
        (HSM_KEY, None, True),
        (HSM_KEY, "RSA-OAEP-256", False),
    ],
)
def test_the_kind_of_vault_chooses_the_algorithm_unless_the_caller_does(
    key: str, algorithm: str | None, binds: bool
) -> None:
    with open_kek(key, algorithm=algorithm) as kek:
        assert kek.binds_aad is binds


def test_a_function_for_the_secret_is_called_when_the_secret_is_needed(
    scripted: ScriptedVault,
) -> None:
    scripted.answer(wrapped())
    given = scripted.settings["client_secret"]
    called: list[str] = []

    def secret() -> str:
        called.append("once")
        return str(given)

    with open_kek(KEY, scripted.settings, client_secret=secret) as kek:
        assert called == []
        kek.wrap(DEK, aad=AAD)
        kek.wrap(DEK, aad=AAD)

    assert called == ["once"]


def test_an_argument_goes_before_the_environment(
    scripted: ScriptedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_AZURE_KV_CONNECT_TO", "127.0.0.1:1")
    scripted.answer(wrapped())

    with open_kek(KEY, scripted.settings) as kek:
        kek.wrap(DEK, aad=AAD)

    assert len(scripted.asked) == 1

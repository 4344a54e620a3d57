"""The direct call takes two requests, and has never another result than the Azure client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ksm_storage_azure_kv.direct_call import credential_source
from ksm_storage_azure_kv.hooks import NAMES, Access

from ksm_storage import errors
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.discovery import find_plugin
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.plugin import NotDirectError

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import KEY as SCRIPTED_KEY
from .scripted_vault import ScriptedVault
from .test_service_errors import RSA
from .test_service_errors import TestReplies as Replies

DEK = bytes(range(32))
KEY = "https://v.vault.azure.net/keys/app"
STARTING = """
import json, ssl, sys
from ksm_storage.plugin import WrappedDek
from tests.opening import AAD, open_kek
loads = []
load = ssl.create_default_context
ssl.create_default_context = lambda **given: loads.append(given) or load(**given)
key, settings, wrapped = json.loads(sys.argv[1])
wrapped = WrappedDek(wrapped[0], wrapped[1], bytes.fromhex(wrapped[2]))
assert open_kek(key, settings).unwrap(wrapped, aad=AAD) == bytes(range(32))
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"azure", "msal", "requests"}))
print(len(loads))
"""


@pytest.mark.parametrize("is_hsm", [False, True], ids=["vault", "HSM"])
def test_a_start_makes_two_requests_with_authorities_loaded_once_and_imports_no_azure_client(
    emulator: EmulatedVault, is_hsm: bool
) -> None:
    key = emulator.new_key(emulator.new_hsm() if is_hsm else emulator.new_vault())
    with open_kek(key.kid, emulator.settings) as kek:
        made = kek.wrap(DEK, aad=AAD)
    emulator.emulator.transcript.reset()
    wrapped = made.key_id, made.algorithm, made.ciphertext.hex()

    done = subprocess.run(
        [
            *(sys.executable, "-c", STARTING),
            json.dumps([key.kid, dict(emulator.settings), wrapped]),
        ],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout.split() == ["1"]
    operation = "decrypt" if is_hsm else "unwrapKey"
    assert emulator.emulator.transcript.calls() == {"token": 1, operation: 1}


def test_the_setting_turns_it_off(emulator: EmulatedVault) -> None:
    key = emulator.new_key(emulator.new_vault())
    with open_kek(key.kid, emulator.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
    emulator.emulator.transcript.reset()

    with open_kek(key.kid, emulator.settings, direct_call=False) as kek:
        kek.unwrap(wrapped, aad=AAD)

    # Only the Azure client asks where the token endpoint is.
    assert emulator.emulator.transcript.count("openid-configuration") == 1


@pytest.mark.parametrize(
    "fault",
    [
        *("disabled", "deleted", "denied", "firewall"),
        *("throttled", "failing", "dropped", "cut off", "another key", "over-long"),
    ],
)
def test_a_failure_is_the_same_error_as_the_client_makes_alone(
    emulator: EmulatedVault, fault: str
) -> None:
    vault = emulator.new_vault(authorization="policy" if fault == "denied" else "rbac")
    key = emulator.new_key(vault)
    with open_kek(key.kid, emulator.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
    told = []

    for is_direct in (True, False):
        with (
            emulator.provoked(fault, key, vault),
            open_kek(key.kid, emulator.settings, direct_call=is_direct, deadline=3.0) as kek,
            pytest.raises(errors.KsmStorageError) as caught,
        ):
            kek.unwrap(wrapped, aad=AAD)
        error = caught.value.as_dict()
        error.pop("request_id", None)
        told.append((type(caught.value), error))

    assert told[0] == told[1]


# Each row of the error tables, and each reply that is not believed.
ROWS = {
    **{code: answer for code, (answer, _) in Replies.refusals.items()},
    **{f"not read: {name}": answer for name, answer in Replies.unreadable_deks.items()},
    **{f"not believed: {name}": answer for name, answer in Replies.foreign_deks.items()},
}


@pytest.mark.parametrize("row", ROWS)
def test_a_reply_is_the_same_error_as_the_client_makes_of_it_alone(
    scripted: ScriptedVault, row: str
) -> None:
    scripted.answer(ROWS[row])
    told = []

    for is_direct in (True, False):
        settings = {**scripted.settings, "direct_call": is_direct, "deadline": 1.0}
        with (
            open_kek(SCRIPTED_KEY, settings) as kek,
            pytest.raises(errors.KsmStorageError) as caught,
        ):
            kek.unwrap(RSA, aad=AAD)
        told.append((type(caught.value), caught.value.as_dict()))

    assert told[0] == told[1]


def test_a_wrong_secret_is_the_same_error(emulator: EmulatedVault) -> None:
    key = emulator.new_key(emulator.new_vault())
    with open_kek(key.kid, emulator.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

    with (
        open_kek(key.kid, emulator.settings, client_secret="wrong") as kek,
        pytest.raises(errors.AuthenticationError, match="invalid client secret"),
    ):
        kek.unwrap(wrapped, aad=AAD)


SECRET = {"tenant_id": "t", "client_id": "c", "client_secret": "s"}
PRINCIPAL = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"}
WORKLOAD = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_FEDERATED_TOKEN_FILE": "/f"}


@pytest.mark.parametrize(
    ("kind", "settings", "variables", "source"),
    [
        ("client-secret", SECRET, {}, "client-secret"),
        ("environment", {}, PRINCIPAL, "environment"),
        ("default", {}, PRINCIPAL, "environment"),
        ("workload-identity", {}, WORKLOAD, "workload-identity"),
        ("managed-identity", {}, {}, "managed identity"),
    ],
)
def test_plain_credentials_are_used(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    settings: dict[str, str],
    variables: dict[str, str],
    source: str,
) -> None:
    _set(monkeypatch, variables)

    assert credential_source(NAMES.parse(KEY), _access(kind, **settings)) == source


@pytest.mark.parametrize(
    ("kind", "settings", "variables"),
    [
        ("default", {}, {}),
        ("environment", {}, {"AZURE_CLIENT_ID": "c"}),
        ("cli", {}, {}),
        ("workload-identity", {}, {"AZURE_CLIENT_ID": "c"}),
        ("managed-identity", {}, {"IDENTITY_ENDPOINT": "http://127.0.0.1/"}),
        ("managed-identity", {}, {"MSI_ENDPOINT": "http://127.0.0.1/"}),
        ("client-secret", SECRET, {"AZURE_REGIONAL_AUTHORITY_NAME": "westeurope"}),
        ("client-secret", SECRET, {"AZURE_SOMETHING_OF_TOMORROW": "1"}),
        ("client-secret", {**SECRET, "direct_call": "false"}, {}),
    ],
    ids=str,
)
def test_anything_else_is_left_to_the_client(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    settings: dict[str, str],
    variables: dict[str, str],
) -> None:
    _set(monkeypatch, variables)

    with pytest.raises(NotDirectError):
        credential_source(NAMES.parse(KEY), _access(kind, **settings))


def test_another_cloud_is_left_to_the_client() -> None:
    key = NAMES.parse("https://v.vault.azure.cn/keys/app")

    with pytest.raises(NotDirectError):
        credential_source(key, _access("client-secret", **SECRET))


def _access(kind: str, **settings: str) -> Access:
    options = find_plugin("azure-kv").options()
    given = {"azure-kv": {"credential": kind, **settings}}
    return Access.from_settings(gather_settings(KeyUri("azure-kv", KEY), options, given))


def _set(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_the_authorities_of_the_environment_are_trusted(
    emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = emulator.new_key(emulator.new_vault())
    with open_kek(key.kid, emulator.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
    emulator.emulator.transcript.reset()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.ca_file))

    with open_kek(key.kid, {**emulator.settings, "ca_file": None}) as kek:
        assert kek.unwrap(wrapped, aad=AAD) == DEK

    assert emulator.emulator.transcript.calls() == {"token": 1, "unwrapKey": 1}

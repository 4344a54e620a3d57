"""What it means when credentials are refused, take too long or cannot be read."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError
from ksm_storage_azure_kv.credentials import ENTRA_CODES, credential_error, make_credential
from ksm_storage_azure_kv.hooks import CredentialChoice
from ksm_storage_azure_kv.transport import DeadlineTransport
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.message import Reply

from ksm_storage import errors
from ksm_storage.plugin import chain_of

from .callers import Caller, needs_posix, write_command
from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import DEK, JSON, KEY, ScriptedVault, reply


@needs_posix
@pytest.mark.parametrize(
    ("resource", "issuer", "words"),
    [
        ("https://graph.microsoft.com", None, "another resource"),
        ("https://vault.azure.net", "https://sts.windows.net/other/", "the caller's tenant"),
    ],
)
def test_a_token_that_the_vault_does_not_accept_is_told_apart(
    caller: Caller,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    resource: str,
    issuer: str | None,
    words: str,
) -> None:
    principal = caller.application().principal
    token = caller.emulator.service.tokens.issue(principal, resource, issuer=issuer)
    answer = json.dumps({"accessToken": token, "expires_on": int(time.time()) + 3600})
    write_command(tmp_path, monkeypatch, f"print({answer!r})")

    error = caller.refused(credential="cli")

    assert type(error) is errors.AuthenticationError
    assert words in error.message


@needs_posix
@pytest.mark.parametrize("kind", ["cli", "default"])
def test_a_command_that_hangs_is_given_up_within_the_bound(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    write_command(tmp_path, monkeypatch, "import signal; signal.pause()")
    started = time.monotonic()

    error = caller.refused(credential=kind, credential_timeout=0.5)

    assert type(error) is errors.UnavailableError
    assert time.monotonic() - started < 5


@needs_posix
def test_a_command_that_hangs_leaves_time_for_the_next_source(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal = caller.application().principal
    token = caller.emulator.service.tokens.issue(principal, "https://vault.azure.net")
    answer = json.dumps({"token": token, "expiresOn": "2100-01-01T00:00:00Z"})
    write_command(tmp_path, monkeypatch, f"print({answer!r})")
    (tmp_path / "az").rename(tmp_path / "azd")
    write_command(tmp_path, monkeypatch, "import signal; signal.pause()")

    assert caller.works(credential_timeout=3.0)


def test_the_default_asks_nothing_that_belongs_to_a_desktop() -> None:
    choice = CredentialChoice(
        kind="default",
        tenant_id=None,
        client_id=None,
        certificate_path=None,
        token_file=None,
        authority=None,
        client_secret=lambda: None,
        certificate_password=lambda: None,
    )
    chain = make_credential(choice, DeadlineTransport(), seconds=1.0)

    names = [type(each).__name__.removesuffix("Credential") for each in chain.credentials]

    # Where no token file is named, the second is a placeholder that fails.
    names[1] = "WorkloadIdentity"
    assert names == [
        "Environment",
        "WorkloadIdentity",
        "ManagedIdentity",
        "AzureCli",
        "AzurePowerShell",
        "AzureDeveloperCli",
    ]


def test_a_source_that_cannot_be_interrupted_is_given_up_within_the_bound(caller: Caller) -> None:
    released = threading.Event()
    started = time.monotonic()

    def secret() -> str:
        released.wait(30)
        return "too late"

    error = caller.refused(
        credential="client-secret",
        client_secret=secret,
        credential_timeout=0.3,
        **caller.named(caller.application()),
    )
    released.set()

    assert type(error) is errors.UnavailableError
    assert error.message == "the Azure credentials were not obtained in time"
    assert time.monotonic() - started < 10


QUIET = """
import sys
from ksm_storage.errors import AuthenticationError
from tests.opening import AAD, open_kek
try:
    open_kek(sys.argv[1], connect_to=sys.argv[2], ca_file=sys.argv[3],
             credential="managed-identity", credential_timeout=0.5).wrap(bytes(32), aad=AAD)
except AuthenticationError:
    print("told")
"""


def test_a_fresh_process_prints_nothing_of_the_client(caller: Caller) -> None:
    wire = caller.emulator.wire_settings
    # In another process: in this one the client's loggers exist and are silent already.
    done = subprocess.run(
        [sys.executable, "-c", QUIET, caller.key, str(wire["connect_to"]), str(wire["ca_file"])],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert (done.stdout, done.stderr) == ("told\n", "")


@needs_posix
def test_a_command_that_is_not_signed_in_is_an_authentication_error(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_command(tmp_path, monkeypatch, "import sys; sys.exit('Please run az login')")

    error = caller.refused(credential="cli")

    assert type(error) is errors.AuthenticationError
    assert "az login" in str(error.hint)


@pytest.mark.parametrize("number", ENTRA_CODES)
def test_a_number_of_entra_is_its_documented_error(scripted: ScriptedVault, number: int) -> None:
    trace = "0f1e2d3c-aaaa-bbbb-cccc-0123456789ab"
    text = f"AADSTS{number}: text of the service. Trace ID: {trace} Correlation ID: 1"
    body = {"error": "invalid_client", "error_description": text, "error_codes": [number]}
    scripted.refuse_tokens(reply(body, status=400))

    with (
        open_kek(KEY, scripted.settings) as kek,
        pytest.raises(errors.AuthenticationError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert caught.value.message == f"{ENTRA_CODES[number][0]} (AADSTS{number})"
    assert caught.value.hint == ENTRA_CODES[number][1]
    assert caught.value.request_id == trace


def test_a_number_that_is_in_no_table_is_shown(scripted: ScriptedVault) -> None:
    body = {"error": "invalid_client", "error_description": "AADSTS999999: text of the service"}
    scripted.refuse_tokens(reply(body, status=400))

    with (
        open_kek(KEY, scripted.settings) as kek,
        pytest.raises(errors.AuthenticationError, match="AADSTS999999") as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert "text of the service" not in str(caught.value.as_dict())


def test_credentials_of_another_tenant_are_told_the_vaults(caller: Caller) -> None:
    application = caller.application()
    named = {**caller.named(application), "tenant_id": "00000000-0000-0000-0000-000000000000"}

    error = caller.refused(credential="client-secret", client_secret=application.secret, **named)

    assert type(error) is errors.AuthenticationError
    assert caller.directory.tenant_id in str(error.hint)


def test_a_function_that_fails_to_give_the_secret_is_a_settings_error(caller: Caller) -> None:
    def secret() -> str:
        raise RuntimeError("the secret is hunter2")

    error = caller.refused(
        credential="client-secret",
        client_secret=secret,
        **caller.named(caller.application()),
    )

    assert type(error) is errors.SettingsError
    assert "hunter2" not in str(error.as_dict())


def test_threads_that_start_together_ask_for_one_token(emulator: EmulatedVault) -> None:
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    key = emulator.new_key(emulator.new_vault())
    together = Barrier(8, timeout=30)

    def wrap(_: int) -> None:
        together.wait()
        kek.wrap(DEK, aad=AAD)

    with open_kek(key.kid, emulator.settings) as kek, ThreadPoolExecutor(8) as pool:
        list(pool.map(wrap, range(8)))

    calls = emulator.emulator.transcript.calls()
    assert calls["wrapKey"] == 8
    assert calls["token"] == 1


@pytest.mark.parametrize("failure", ["refused", "dropped", "cut off", "no JSON", "no UTF-8"])
def test_nothing_keeps_the_secret_or_the_token_alive(scripted: ScriptedVault, failure: str) -> None:
    secret = "a-secret-that-is-wrong"
    if failure == "refused":
        scripted.refuse_tokens(reply({"error": "invalid_client"}, status=401))
    elif failure == "no JSON":
        scripted.refuse_tokens(Reply(200, b'{"access_token": "a-token', {"Content-Type": JSON}))
    elif failure == "no UTF-8":
        scripted.refuse_tokens(Reply(200, b'"a-token\xff', {"Content-Type": JSON}))
    else:
        kind = FaultKind.DROP if failure == "dropped" else FaultKind.TRUNCATE
        scripted.emulator.faults.add(kind, operation="token")
    settings = {**scripted.settings, "client_secret": secret, "credential_timeout": 1.0}

    with open_kek(KEY, settings) as kek, pytest.raises(errors.KsmStorageError) as caught:
        kek.wrap(DEK, aad=AAD)

    for link in chain_of(caught.value):
        shown = f"{link!r} {vars(link)!r} {link.args!r} {getattr(link, 'object', b'')!r}"
        assert secret not in shown
        assert "a-token" not in shown
        for name in ("request", "response", "doc"):
            assert getattr(link, name, None) is None


@pytest.mark.parametrize("tenant", [None, "", "a b", "a\nb", "x" * 300])
def test_what_is_no_name_of_a_tenant_is_not_repeated(tenant: str | None) -> None:
    refused = ClientAuthenticationError("text")

    error = credential_error(refused, kind="cli", tenant=tenant)

    assert "tenant" not in str(error.hint)
    assert tenant is None or tenant == "" or tenant not in str(error.hint)

"""Each kind of credential against token endpoints that check, and what their refusals mean."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from ksm_storage_azure_kv.credentials import ENTRA_CODES, credential_error, make_credential
from ksm_storage_azure_kv.hooks import CredentialChoice
from ksm_storage_azure_kv.transport import DeadlineTransport
from ksm_storage_emulators.azure_key_vault.directory import Application, Principal
from ksm_storage_emulators.azure_key_vault.token_endpoints import APP_SERVICE_PATH
from ksm_storage_emulators.azure_key_vault.vaults import EVERYTHING
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.message import Reply

from ksm_storage import errors
from ksm_storage.plugin import chain_of

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import DEK, JSON, KEY, ScriptedVault, reply

SOON = timedelta(hours=1)


class Caller:
    """Somebody who may use one key, with the settings that lead there."""

    def __init__(self, emulator: EmulatedVault) -> None:
        self.emulator = emulator
        self.vault = emulator.shared_vault()
        self.key = emulator.shared_key(self.vault, "one").kid
        self.directory = emulator.service.directory

    def application(self) -> Application:
        """Return an application that may use the key."""
        application = self.directory.add_application("app")
        self.allow(application.principal)
        return application

    def allow(self, principal: Principal) -> None:
        """Let a principal use the key."""
        self.vault.grant(principal.object_id, [EVERYTHING])

    def works(self, **settings: object) -> bool:
        """Say whether the key wraps and unwraps with these settings."""
        with open_kek(self.key, self.emulator.wire_settings, **settings) as kek:
            return kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK

    def refused(self, **settings: object) -> errors.KsmStorageError:
        """Return the error with which a wrap fails."""
        with (
            open_kek(self.key, self.emulator.wire_settings, **settings) as kek,
            pytest.raises(errors.KsmStorageError) as caught,
        ):
            kek.wrap(DEK, aad=AAD)
        return caught.value

    def named(self, application: Application) -> Mapping[str, object]:
        """Return the settings that name an application, without proof."""
        return {
            "tenant_id": self.directory.tenant_id,
            "client_id": application.principal.client_id,
            "authority_host": self.emulator.url,
        }


@pytest.fixture
def caller(emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch) -> Caller:
    # Nobody answers where a machine in Azure would ask for its identity.
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("PATH", "/nowhere")
    return Caller(emulator)


@pytest.fixture(scope="session")
def certificate() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + SOON)
    return key, builder.sign(key, hashes.SHA256())


def test_a_client_secret_is_shown_to_entra(caller: Caller) -> None:
    application = caller.application()

    assert caller.works(
        credential="client-secret",
        client_secret=application.secret,
        **caller.named(application),
    )


@pytest.mark.parametrize("form", ["PEM", "PKCS#12"])
def test_a_client_certificate_signs_the_request_for_a_token(
    caller: Caller,
    certificate: tuple[rsa.RSAPrivateKey, x509.Certificate],
    tmp_path: Path,
    form: str,
) -> None:
    application = caller.application()
    key, public = certificate
    application.add_certificate(public.public_bytes(Encoding.PEM))
    path = tmp_path / "app.certificate"
    if form == "PEM":
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + public.public_bytes(Encoding.PEM))
    else:
        path.write_bytes(
            pkcs12.serialize_key_and_certificates(
                b"app", key, public, None, BestAvailableEncryption(b"password")
            )
        )

    assert caller.works(
        credential="client-certificate",
        certificate_path=str(path),
        certificate_password=None if form == "PEM" else "password",
        **caller.named(application),
    )


def test_a_certificate_that_the_application_does_not_know_is_refused(
    caller: Caller, certificate: tuple[rsa.RSAPrivateKey, x509.Certificate], tmp_path: Path
) -> None:
    key, public = certificate
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "app.pem"
    path.write_bytes(private + public.public_bytes(Encoding.PEM))

    error = caller.refused(
        credential="client-certificate",
        certificate_path=str(path),
        **caller.named(caller.application()),
    )

    assert type(error) is errors.AuthenticationError
    assert "AADSTS700027" in error.message


def test_a_file_that_is_no_certificate_is_a_settings_error(caller: Caller, tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    path.write_text("-----BEGIN NOTHING-----")

    error = caller.refused(
        credential="client-certificate",
        certificate_path=str(path),
        **caller.named(caller.application()),
    )

    assert type(error) is errors.SettingsError
    assert "NOTHING" not in str(error.as_dict())


def test_a_workload_identity_shows_the_token_in_its_file(caller: Caller, tmp_path: Path) -> None:
    application = caller.application()
    trust = application.federate(issuer="https://cluster.example", subject="system:app")
    path = tmp_path / "token"
    path.write_text(trust.token(expires_at=time.time() + 600))

    assert caller.works(
        credential="workload-identity", token_file=str(path), **caller.named(application)
    )


@pytest.mark.parametrize(
    ("wrong", "number"),
    [
        ({"subject": "system:other"}, 700211),
        ({"audience": "api://other"}, 700211),
        ({"expires_at": 1.0}, 700024),
    ],
    ids=["subject", "audience", "expired"],
)
def test_a_workload_identity_with_another_token_is_refused(
    caller: Caller, tmp_path: Path, wrong: Mapping[str, object], number: int
) -> None:
    application = caller.application()
    trust = application.federate(issuer="https://cluster.example", subject="system:app")
    path = tmp_path / "token"
    path.write_text(trust.token(**{"expires_at": time.time() + 600, **wrong}))  # type: ignore[arg-type]  # parametrised

    error = caller.refused(
        credential="workload-identity", token_file=str(path), **caller.named(application)
    )

    assert type(error) is errors.AuthenticationError
    assert f"AADSTS{number}" in error.message


def test_a_workload_identity_without_its_file_is_a_settings_error(caller: Caller) -> None:
    error = caller.refused(
        credential="workload-identity",
        token_file="/no/such/file",
        **caller.named(caller.application()),
    )

    assert type(error) in (errors.SettingsError, errors.AuthenticationError)


def test_a_workload_identity_without_settings_is_a_settings_error(caller: Caller) -> None:
    assert type(caller.refused(credential="workload-identity")) is errors.SettingsError


@pytest.mark.parametrize("assigned", ["system", "user"])
@pytest.mark.parametrize("place", ["virtual machine", "App Service"])
def test_a_managed_identity_is_what_the_place_gives(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, assigned: str, place: str
) -> None:
    if assigned == "system":
        principal = caller.directory.assign_system_identity("machine")
    else:
        principal = caller.directory.add_user_assigned_identity("named")
    caller.allow(principal)
    if place == "App Service":
        endpoints = caller.emulator.service.token_endpoints
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{caller.emulator.url}{APP_SERVICE_PATH}")
        monkeypatch.setenv("IDENTITY_HEADER", endpoints.identity_header)
    else:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", caller.emulator.url)

    assert caller.works(
        credential="managed-identity",
        client_id=None if assigned == "system" else principal.client_id,
    )


def test_an_identity_that_the_machine_does_not_have_is_an_authentication_error(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", caller.emulator.url)

    error = caller.refused(credential="managed-identity", client_id="nobody")

    assert type(error) is errors.AuthenticationError
    assert "'managed-identity'" in error.message


def test_a_machine_without_an_identity_is_told_within_the_bound(caller: Caller) -> None:
    started = time.monotonic()

    error = caller.refused(credential="managed-identity", credential_timeout=1.0)

    assert type(error) is errors.AuthenticationError
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("kind", ["environment", "default"])
def test_the_environment_may_hold_an_application(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    application = caller.application()
    monkeypatch.setenv("AZURE_TENANT_ID", caller.directory.tenant_id)
    monkeypatch.setenv("AZURE_CLIENT_ID", application.principal.client_id)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", application.secret)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", caller.emulator.url)

    assert caller.works(credential=kind)


@pytest.mark.parametrize("kind", ["environment", "default"])
def test_an_authority_that_is_down_is_told_from_one_that_refuses(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", caller.directory.tenant_id)
    monkeypatch.setenv("AZURE_CLIENT_ID", caller.application().principal.client_id)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", caller.emulator.url)

    refused = caller.refused(credential=kind)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://127.0.0.1:1")
    unreached = caller.refused(credential=kind)

    assert (type(refused), refused.retryable) == (errors.AuthenticationError, False)
    assert "AADSTS7000215" in refused.message
    assert (type(unreached), unreached.retryable) == (errors.UnavailableError, True)


def test_an_environment_without_an_application_is_an_authentication_error(caller: Caller) -> None:
    error = caller.refused(credential="environment")

    assert type(error) is errors.AuthenticationError
    assert "'environment'" in error.message


def test_the_default_finds_the_identity_of_the_machine(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", caller.emulator.url)
    caller.allow(caller.directory.assign_system_identity("machine"))

    assert caller.works()


def test_a_default_that_finds_nothing_says_so_within_the_bound(caller: Caller) -> None:
    started = time.monotonic()

    error = caller.refused(credential_timeout=2.0)

    assert type(error) is errors.AuthenticationError
    assert "no Azure credentials of the kind 'default' found" in error.message
    assert time.monotonic() - started < 5


def write_command(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put a command ``az`` on the path that runs a Python text."""
    command = folder / "az"
    command.write_text(f"#!{sys.executable}\n{text}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))


needs_posix = pytest.mark.skipif(os.name != "posix", reason="the command is a POSIX script")


@needs_posix
def test_the_command_line_of_azure_is_asked_for_a_token(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal = caller.application().principal
    token = caller.emulator.service.tokens.issue(principal, "https://vault.azure.net")
    answer = json.dumps({"accessToken": token, "expires_on": int(time.time()) + 3600})
    write_command(tmp_path, monkeypatch, f"print({answer!r})")

    assert caller.works(credential="cli")


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
    text = f"AADSTS{number}: text of the service. Trace ID: 1"
    body = {"error": "invalid_client", "error_description": text, "error_codes": [number]}
    scripted.refuse_tokens(reply(body, status=400))

    with (
        open_kek(KEY, scripted.settings) as kek,
        pytest.raises(errors.AuthenticationError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert caught.value.message == f"{ENTRA_CODES[number][0]} (AADSTS{number})"
    assert caught.value.hint == ENTRA_CODES[number][1]


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

    assert error.hint == "check the credentials and their tenant"

"""Broken set-ups of the Azure credentials: each error says what to mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from ksm_storage_emulators.message import Reply

from ksm_storage.errors import (
    AuthenticationError,
    KsmStorageError,
    SettingsError,
    UnavailableError,
)
from ksm_storage.plugin import WrappedDek
from ksm_storage.testing.broken_setups import (
    SECRET,
    BrokenSetup,
    Machine,
    assert_finishes_the_job,
)

from .callers import needs_posix, write_command
from .opening import AAD, open_kek
from .scripted_vault import KEY, KID, ScriptedVault

pytestmark = needs_posix

PAGE = Reply(200, b"<html>Sign in to the proxy</html>", {"Content-Type": "text/html"})
TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
AUTH, SET = AuthenticationError, SettingsError
B = BrokenSetup


def tenant(m: Machine) -> str:
    """Return the tenant of the vault."""
    return str(m.settings.pop("tenant"))


def secret(m: Machine, **values: object) -> Machine:
    named = {"tenant_id": tenant(m), "client_id": CLIENT, "client_secret": SECRET}
    return m.options(credential="client-secret", authority_host=m.server, **{**named, **values})


def variables(m: Machine, **values: str) -> Machine:
    given = {"TENANT_ID": tenant(m), "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, **values}
    m.variables(**{f"AZURE_{name}": value for name, value in given.items()})
    return m.options(credential="environment", authority_host=m.server)


def certificate(m: Machine, content: str | bytes | None) -> Machine:
    path = str(m.folder / "gone") if content is None else m.file("app.pem", content)
    named = {"tenant_id": tenant(m), "client_id": CLIENT, "certificate_path": path}
    return m.options(credential="client-certificate", authority_host=m.server, **named)


def workload(m: Machine, token: str | bytes | None) -> Machine:
    path = str(m.folder / "gone") if token is None else m.file("token", token)
    named = {"tenant_id": tenant(m), "client_id": CLIENT, "token_file": path}
    return m.options(credential="workload-identity", authority_host=m.server, **named)


def command(m: Machine, text: str) -> Machine:
    write_command(m.folder, m.environment, text)
    return m.options(credential="cli")


def identity(m: Machine, url: str) -> Machine:
    m.variables(AZURE_POD_IDENTITY_AUTHORITY_HOST=url)
    return m.options(credential="managed-identity")


SETUPS = {
    "nothing at all": B(lambda m: m.options(credential="default"), AUTH, "az login"),
    "no variables": B(lambda m: m.options(credential="environment"), AUTH, "AZURE_CLIENT_ID"),
    "tenant with a line end": B(lambda m: secret(m, tenant_id=f"{TENANT}\n"), SET, "tenant_id"),
    "tenant that is a URL": B(lambda m: secret(m, tenant_id="https://x/y"), SET, "tenant_id"),
    "client with a line end": B(lambda m: secret(m, client_id=f"{CLIENT}\r\n"), SET, "client_id"),
    "secret with a line end": B(lambda m: secret(m, client_secret=f"{SECRET}\n"), SET, "secret"),
    "quoted secret": B(lambda m: secret(m, client_secret=f'"{SECRET}"'), SET, "quot"),
    "variable: tenant with a line end": B(
        lambda m: variables(m, TENANT_ID=f"{TENANT}\n"), SET, "AZURE_TENANT_ID"
    ),
    "variable: secret with a line end": B(
        lambda m: variables(m, CLIENT_SECRET=f"{SECRET}\n"), SET, "AZURE_CLIENT_SECRET"
    ),
    "variable: certificate missing": B(
        lambda m: (
            variables(m),
            m.variables(AZURE_CLIENT_SECRET=None, AZURE_CLIENT_CERTIFICATE_PATH="/no/such"),
        ),
        SET,
        "AZURE_CLIENT_CERTIFICATE_PATH",
    ),
    "variable: half": B(
        lambda m: variables(m).variables(AZURE_CLIENT_SECRET=None), AUTH, "AZURE_CLIENT_SECRET"
    ),
    "authority that is no URL": B(
        lambda m: secret(m).options(authority_host="not a host"), SET, "authority_host"
    ),
    "page in the place of a token": B(secret, UnavailableError, "proxy"),
    "certificate missing": B(lambda m: certificate(m, None), SET, "certificate_path"),
    "certificate garbage": B(lambda m: certificate(m, SECRET), SET, "certificate_path"),
    "certificate without a key": B(
        lambda m: certificate(m, "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"),
        SET,
        "certificate_path",
    ),
    "certificate empty": B(lambda m: certificate(m, b""), SET, "certificate_path"),
    "federated token missing": B(lambda m: workload(m, None), SET, "token_file"),
    "federated token empty": B(lambda m: workload(m, ""), SET, "token_file"),
    "federated token in a pipe": B(
        lambda m: workload(m, "").options(token_file=m.pipe()), SET, "not a regular file"
    ),
    "federated token not ASCII": B(lambda m: workload(m, b"\xff\xfe"), SET, "token_file"),
    "az missing": B(
        lambda m: m.options(credential="cli").variables(PATH=str(m.folder)), AUTH, "az login"
    ),
    "az not signed in": B(
        lambda m: command(m, f"raise SystemExit('Please run az login {SECRET}')"), AUTH, "az login"
    ),
    "az prints garbage": B(lambda m: command(m, f"print('{SECRET}')"), AUTH, "az"),
    "az prints a list": B(lambda m: command(m, "print([])"), AUTH, "az"),
    "az prints half": B(lambda m: command(m, 'print(\'{"accessToken": "x"}\')'), AUTH, "az"),
    "az prints a token with a line end": B(
        lambda m: command(m, 'print(\'{"accessToken": "a\\\\nb", "expires_on": 9999999999}\')'),
        AUTH,
        "az",
    ),
    "az hangs": B(
        lambda m: command(m, "import signal; signal.pause()").options(credential_timeout=0.5),
        UnavailableError,
        "credential_timeout",
    ),
    "managed identity is not here": B(
        lambda m: identity(m, "http://127.0.0.1:1"), AUTH, "managed-identity"
    ),
    "managed identity: garbled address": B(
        lambda m: identity(m, "not a url"), AUTH, "AZURE_POD_IDENTITY_AUTHORITY_HOST"
    ),
}


@pytest.mark.parametrize("direct_call", [True, False], ids=["direct", "client"])
@pytest.mark.parametrize("name", SETUPS)
def test_a_broken_setup_is_named(
    scripted: ScriptedVault,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    direct_call: bool,
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    scripted.refuse_tokens(PAGE)
    # A page is repeated while the deadline allows it.
    settings = {**scripted.wire_settings, "credential_timeout": 1.0, "deadline": 3.0}
    settings["tenant"] = scripted.service.directory.tenant_id
    machine = Machine(tmp_path, monkeypatch, scripted.url, settings)
    setup = SETUPS[name]
    setup.break_it(machine)
    machine.settings.pop("tenant", None)
    wrapped = WrappedDek(KID, "RSA-OAEP-256", b"c" * 256)

    with (
        pytest.raises(KsmStorageError) as caught,
        open_kek(KEY, machine.settings, direct_call=direct_call) as kek,
    ):
        kek.unwrap(wrapped, aad=AAD)

    assert_finishes_the_job(caught.value, setup)

"""Each failure that is no answer of the vault: network, TLS, a reply that cannot be read."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.core import exceptions as sdk
from ksm_storage_azure_kv.errors import call_of, translated
from ksm_storage_azure_kv.hooks import NAMES
from ksm_storage_azure_kv.transport import DeadlineTransport
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.message import Reply

from ksm_storage import errors
from ksm_storage.plugin import HiddenError, chain_of
from ksm_storage.testing.traces import encodings_of

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import DEK, JSON, KEY, ScriptedVault, unwrapped
from .test_wire import RSA


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def refused(vault: EmulatedVault, **settings: object) -> errors.KsmStorageError:
    """Return the error with which a wrap fails."""
    with (
        open_kek(KEY, vault.settings, **{"deadline": 1.0, **settings}) as kek,
        pytest.raises(errors.KsmStorageError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)
    return caught.value


def test_a_refused_connection_is_unavailable(scripted: ScriptedVault, closed_port: int) -> None:
    error = refused(scripted, connect_to=f"127.0.0.1:{closed_port}")

    assert type(error) is errors.UnavailableError
    assert error.message == "cannot reach the vault 'demo.vault.azure.net'"


def test_a_host_without_an_address_is_unavailable(scripted: ScriptedVault) -> None:
    error = refused(scripted, connect_to="vault.invalid:443")

    assert type(error) is errors.UnavailableError
    assert "cannot resolve the hostname" in error.message


@pytest.mark.parametrize("first", ["vault", "Entra ID"])
def test_another_authority_is_not_trusted(
    emulator: EmulatedVault, tmp_path: Path, first: str
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(PrivateAuthority().certificate_pem)
    key = emulator.new_key(emulator.new_vault()).kid
    if first == "Entra ID":
        # Once the client knows how the vault authenticates, it asks for a token first.
        with open_kek(key, emulator.settings) as kek:
            kek.wrap(DEK, aad=AAD)

    with (
        open_kek(key, emulator.settings, ca_file=str(other)) as kek,
        pytest.raises(errors.ProviderError, match="is not trusted") as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert ("credentials" in caught.value.message) is (first == "Entra ID")


def test_a_certificate_that_is_not_trusted_is_not_tried_again(
    scripted: ScriptedVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(PrivateAuthority().certificate_pem)
    pauses: list[float] = []
    monkeypatch.setattr(DeadlineTransport, "sleep", lambda _, seconds: pauses.append(seconds))

    refused(scripted, ca_file=str(other), deadline=20.0)

    assert pauses == []


def test_another_address_is_reached_through_no_proxy(
    scripted: ScriptedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    # Entra ID's host is an address here, and reached as the environment says.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    with open_kek(KEY, scripted.settings) as kek:
        assert kek.unwrap(RSA, aad=AAD) == DEK


def test_the_certificate_must_be_the_vaults_wherever_it_is_connected_to(
    scripted: ScriptedVault,
) -> None:
    key = "https://v.vault.azure.cn/keys/app"

    with (
        open_kek(key, scripted.settings) as kek,
        pytest.raises(errors.ProviderError, match="is not trusted"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_variable_of_the_environment_does_not_replace_the_authority_that_was_given(
    scripted: ScriptedVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(PrivateAuthority().certificate_pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))

    with open_kek(KEY, scripted.settings) as kek:
        assert kek.unwrap(RSA, aad=AAD) == DEK


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.TRUNCATE])
def test_a_connection_that_is_cut_off_is_unavailable_and_its_causes_hold_no_dek(
    scripted: ScriptedVault, kind: FaultKind
) -> None:
    scripted.emulator.faults.add(kind, operation="wrapKey")

    error = refused(scripted)

    assert type(error) is errors.UnavailableError
    assert "was closed before the reply was complete" in error.message
    assert error.__cause__ is not None
    assert_holds_no_dek(error)


@pytest.mark.parametrize(
    "body",
    [unwrapped().body[:-1], b"\xff" + unwrapped().body, b"[" + unwrapped().body],
    ids=["cut", "no UTF-8", "no JSON"],
)
def test_a_reply_that_is_no_json_is_unavailable_and_nothing_keeps_its_text(
    scripted: ScriptedVault, body: bytes
) -> None:
    scripted.answer(Reply(200, body, {"Content-Type": JSON}))

    with (
        open_kek(KEY, scripted.settings, deadline=1.0) as kek,
        pytest.raises(errors.UnavailableError, match="invalid reply") as caught,
    ):
        kek.unwrap(RSA, aad=AAD)

    assert type(caught.value.__cause__) is HiddenError
    assert caught.value.__context__ is None


@pytest.mark.parametrize("status", [403, 404, 503])
def test_the_cause_of_a_refusal_holds_neither_request_nor_reply(
    scripted: ScriptedVault, status: int
) -> None:
    scripted.answer(Reply(status, unwrapped().body, {"Content-Type": JSON}))

    error = refused(scripted)

    assert isinstance(error.__cause__, sdk.HttpResponseError)
    assert_holds_no_dek(error)


def assert_holds_no_dek(error: BaseException) -> None:
    """Look through all that an error keeps alive, the frames of its traceback apart."""
    for link in chain_of(error):
        shown = f"{link!r} {vars(link)!r} {link.args!r}"
        for name in ("request", "response", "model", "doc"):
            assert getattr(link, name, None) is None
        for encoding in encodings_of(DEK):
            assert encoding not in shown


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer authorization="https://login.windows.net/t", resource="https://evil.example"',
        'Bearer authorization="https://login.windows.net/t", resource="https://fault.azure.net"',
        'Bearer authorization="https://login.windows.net/t", resource="vault.azure.net"',
    ],
)
def test_no_token_is_sent_to_a_host_that_asks_for_one_of_another_resource(
    emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch, challenge: str
) -> None:
    key = emulator.new_key(emulator.new_vault())
    headers = {"WWW-Authenticate": challenge}
    monkeypatch.setattr(emulator.service, "_headers", lambda *_, **__: headers)

    with (
        open_kek(key.kid, emulator.settings) as kek,
        pytest.raises(errors.AuthenticationError, match="none was sent") as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert emulator.emulator.transcript.calls() == {"challenge": 1}
    assert type(caught.value.__cause__) is HiddenError


@pytest.mark.parametrize("challenge", ["", "Bearer", "Basic realm=x", 'Bearer resource="x"'])
def test_a_challenge_without_its_parts_is_an_authentication_error(
    emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch, challenge: str
) -> None:
    key = emulator.new_key(emulator.new_vault())
    headers = {"WWW-Authenticate": challenge}
    monkeypatch.setattr(emulator.service, "_headers", lambda *_, **__: headers)

    with open_kek(key.kid, emulator.settings) as kek, pytest.raises(errors.AuthenticationError):
        kek.wrap(DEK, aad=AAD)

    assert emulator.emulator.transcript.calls() == {"challenge": 1}


def test_any_other_exception_of_the_client_is_told_without_its_text() -> None:
    error = translated(sdk.AzureError("a secret"), call_of("wrapKey", NAMES.parse(KEY)))

    assert type(error) is errors.ProviderError
    assert "secret" not in error.message


def test_nothing_of_a_failure_is_printed(
    scripted: ScriptedVault, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(scripted, client_secret="wrong")

    assert capfd.readouterr() == ("", "")


def test_the_client_warns_of_nothing_that_is_raised_besides(
    scripted: ScriptedVault, caplog: pytest.LogCaptureFixture
) -> None:
    refused(scripted, client_secret="wrong")

    assert [record.name for record in caplog.records] == []

"""The endpoints that hand out tokens: what they check, and each error in their tables."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from ksm_storage_emulators.azure_key_vault.directory import Application
from ksm_storage_emulators.azure_key_vault.entra_errors import ENTRA_ERRORS, IDENTITY_ERRORS
from ksm_storage_emulators.azure_key_vault.token_endpoints import APP_SERVICE_PATH, IMDS_PATH
from ksm_storage_emulators.faults import FaultKind

from .conftest import VAULT, Answer, Wire

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
METADATA = {"Metadata": "true"}


@pytest.fixture
def application(wire: Wire) -> Application:
    return wire.service.directory.add_application("app")


def ask(wire: Wire, application: Application, *, tenant: str | None = None, **form: str) -> Answer:
    """Ask for a token; a field given as an empty string is left out."""
    own = {
        "grant_type": "client_credentials",
        "client_id": application.principal.client_id,
        "scope": f"{VAULT}/.default",
    }
    sent = {name: value for name, value in {**own, **form}.items() if value}
    path = f"/{tenant or wire.service.directory.tenant_id}/oauth2/v2.0/token"
    return wire.send("POST", path, urlencode(sent).encode(), host="localhost", token="none")


def number(answer: Answer) -> int:
    """Return the number of an error, which its text repeats."""
    (found,) = answer.body["error_codes"]
    assert answer.body["error_description"].startswith(f"AADSTS{found}: ")
    assert (answer.status, answer.body["error"]) == ENTRA_ERRORS[found][:2]
    return int(found)


def test_a_secret_gives_a_token_that_a_vault_accepts(wire: Wire, application: Application) -> None:
    wire.service.demo.grant(application.principal.object_id, ["get"])
    wire.service.create_key("app")

    token = ask(wire, application, client_secret=application.secret).body["access_token"]

    assert wire.send("GET", "/keys/app", token=token).status == 200


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"client_secret": "wrong"}, 7000215),
        ({}, 7000218),
        ({"client_id": "nobody", "client_secret": "x"}, 700016),
        ({"grant_type": "password"}, 70003),
        ({"scope": "openid"}, 90014),
        ({"scope": "https://graph.microsoft.com/.default"}, 500011),
        ({"client_assertion_type": ASSERTION, "client_assertion": "junk"}, 700027),
        ({"client_assertion_type": ASSERTION, "client_assertion": "e30.e30.AA"}, 700211),
    ],
)
def test_a_request_that_proves_nothing_is_refused(
    wire: Wire, application: Application, form: dict[str, str], expected: int
) -> None:
    if "scope" in form:
        form = {**form, "client_secret": application.secret}

    assert number(ask(wire, application, **form)) == expected


def test_an_expired_secret_is_refused(wire: Wire, application: Application) -> None:
    application.secret_ends_at = wire.service.clock.now() + 60
    assert ask(wire, application, client_secret=application.secret).status == 200

    wire.emulator.clock.advance(60)

    assert number(ask(wire, application, client_secret=application.secret)) == 7000222


def test_another_tenant_is_not_known(wire: Wire, application: Application) -> None:
    answer = ask(wire, application, tenant="other", client_secret=application.secret)

    assert number(answer) == 90002


def test_a_federated_token_is_accepted_while_it_lasts(wire: Wire, application: Application) -> None:
    trust = application.federate(issuer="https://cluster.example", subject="system:app")
    now = wire.service.clock.signing_now()

    def shown(token: str) -> Answer:
        form = {"client_assertion_type": ASSERTION, "client_assertion": token}
        return ask(wire, application, **form)

    assert shown(trust.token(expires_at=now + 60)).status == 200
    assert number(shown(trust.token(expires_at=now - 60))) == 700024
    assert number(shown(trust.token(expires_at=now + 60, subject="other"))) == 700211
    assert number(shown(trust.token(expires_at=now + 60)[:-4] + "AAAA")) == 700027


def test_a_failure_is_told_in_the_format_of_entra(wire: Wire, application: Application) -> None:
    wire.emulator.faults.add(FaultKind.ERROR, operation="token", status=503)

    assert number(ask(wire, application, client_secret=application.secret)) == 90033


def identity(wire: Wire, path: str, headers: dict[str, str], **query: str) -> Answer:
    """Ask for the token of a managed identity."""
    version = "2018-02-01" if path == IMDS_PATH else "2019-08-01"
    sent = urlencode({"api-version": version, "resource": VAULT, **query})
    return wire.send("GET", f"{path}?{sent}", host="localhost", token="none", headers=headers)


@pytest.fixture
def header(wire: Wire) -> dict[str, str]:
    return {"X-IDENTITY-HEADER": wire.service.token_endpoints.identity_header}


def test_a_machine_and_an_app_get_the_token_of_their_identity(
    wire: Wire, header: dict[str, str]
) -> None:
    wire.service.directory.assign_system_identity("machine")
    named = wire.service.directory.add_user_assigned_identity("named")

    for path, headers in ((IMDS_PATH, METADATA), (APP_SERVICE_PATH, header)):
        for query in ({}, {"client_id": named.client_id}):
            answer = identity(wire, path, headers, **query)
            assert answer.body["access_token"]
            assert answer.body["resource"] == VAULT


@pytest.mark.parametrize(
    ("path", "headers", "query", "name"),
    [
        (IMDS_PATH, {}, {}, "bad_request_102"),
        (IMDS_PATH, METADATA, {}, "invalid_request"),
        (IMDS_PATH, METADATA, {"client_id": "nobody"}, "invalid_request"),
        (APP_SERVICE_PATH, {}, {}, "unauthorized_client"),
        (APP_SERVICE_PATH, {"X-IDENTITY-HEADER": "wrong"}, {}, "unauthorized_client"),
    ],
)
def test_a_request_for_an_identity_that_does_not_fit_is_refused(
    wire: Wire, path: str, headers: dict[str, str], query: dict[str, str], name: str
) -> None:
    answer = identity(wire, path, headers, **query)

    assert (answer.status, answer.body["error"]) == (IDENTITY_ERRORS[name][0], name)


@pytest.mark.parametrize("query", [{"resource": "https://graph.microsoft.com"}])
def test_an_identity_has_no_token_for_anything_else(wire: Wire, query: dict[str, str]) -> None:
    wire.service.directory.assign_system_identity("machine")

    answer = identity(wire, IMDS_PATH, METADATA, **query)

    assert answer.body["error"] == "invalid_resource"


def test_a_failure_is_told_in_the_format_of_the_metadata_service(wire: Wire) -> None:
    wire.emulator.faults.add(FaultKind.ERROR, operation="imds-token", status=500)

    assert identity(wire, IMDS_PATH, METADATA).body["error"] == "unknown"

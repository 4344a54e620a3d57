"""Faults in the service's own words, and the control requests."""

from __future__ import annotations

import json

import pytest

from ksm_storage_emulators.azure_key_vault.errors import ERRORS, VaultError
from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.json_web_token import decode, encode
from ksm_storage_emulators.registry import create_service

from .conftest import Answer, Wire

BODY = {"alg": "RSA-OAEP-256", "value": encode(b"k" * 32)}


@pytest.fixture(autouse=True)
def _key(wire: Wire) -> None:
    wire.service.create_key("app")


def wrap(wire: Wire) -> Answer:
    return wire.post("/keys/app/wrapkey", BODY)


@pytest.mark.parametrize("advice", [None, 7.0])
def test_throttling_is_told_as_the_service_tells_it(wire: Wire, advice: float | None) -> None:
    wire.emulator.faults.add(
        FaultKind.THROTTLE, operation="wrapKey", times=1, retry_after_seconds=advice
    )

    answer = wrap(wire)

    assert (answer.status, answer.error) == (429, ("Throttled", None))
    assert answer.headers.get("retry-after") == (None if advice is None else "7")
    assert wrap(wire).status == 200


@pytest.mark.parametrize(
    ("status", "code"), [(500, "InternalServerError"), (503, "ServiceUnavailable")]
)
def test_failures_are_told_as_the_service_tells_them(wire: Wire, status: int, code: str) -> None:
    wire.emulator.faults.add(FaultKind.ERROR, operation="wrapKey", status=status)

    answer = wrap(wire)

    assert (answer.status, answer.error) == (status, (code, None))


def test_quotas_count_key_operations(wire: Wire) -> None:
    wire.emulator.clock.freeze()
    wire.emulator.quotas.limit(1, operation="wrapKey")

    assert [wrap(wire).status for _ in range(2)] == [200, 429]


def test_replies_are_falsified(wire: Wire) -> None:
    wire.emulator.faults.add(FaultKind.WRONG_KEY_ID, operation="wrapKey", times=1)
    wire.emulator.faults.add(FaultKind.OVER_LONG_KEY, operation="unwrapKey", times=1)

    wrapped = wrap(wire).body
    opened = wire.post("/keys/app/unwrapkey", {**BODY, "value": wrapped["value"]}).body

    assert wrapped["kid"].startswith("https://demo.vault.azure.net/keys/another-key/")
    assert len(decode(opened["value"])) == 33


def control(wire: Wire, path: str, body: object) -> Answer:
    raw = json.dumps(body).encode()
    return wire.send("POST", f"/_emulator/service/{path}", raw, token="none")


def test_a_caller_can_be_made_and_allowed_over_the_control_endpoint(wire: Wire) -> None:
    made = control(wire, "applications", {"name": "app"}).body
    application = wire.service.directory.application(made["client_id"])
    assert application is not None
    assert made["client_secret"] == application.secret
    grant = {
        "vault": "demo.vault.azure.net",
        "object_id": made["object_id"],
        "permissions": ["wrapKey"],
    }

    assert control(wire, "grants", grant).status == 204
    token = wire.token(principal=application.principal)
    assert wire.post("/keys/app/wrapkey", BODY, token=token).status == 200
    assert control(wire, "firewall", {"vault": grant["vault"], "closed": True}).status == 204
    assert wrap(wire).error == ("Forbidden", "ForbiddenByFirewall")


@pytest.mark.parametrize(
    "body",
    [
        {"vault": "none.vault.azure.net", "object_id": "x", "permissions": ["get"]},
        {"vault": "demo.vault.azure.net", "object_id": "x", "permissions": ["fly"]},
        {"vault": "demo.vault.azure.net"},
    ],
)
def test_a_control_request_that_makes_no_sense_is_refused(wire: Wire, body: object) -> None:
    assert control(wire, "grants", body).status == 400


def test_a_control_request_that_is_not_known_is_not_found(wire: Wire) -> None:
    assert control(wire, "nothing", {}).status == 404


def test_the_demonstration_has_a_key_in_a_vault_and_one_in_an_hsm() -> None:
    service = create_service("azure-key-vault")
    assert isinstance(service, AzureKeyVaultService)

    for host in ("demo.vault.azure.net", "demo.managedhsm.azure.net"):
        vault = service.store.of_host(host)
        assert vault is not None
        assert "demo" in vault.keys


@pytest.mark.parametrize("row", ERRORS, ids=str)
def test_every_error_cites_its_page(row: tuple[str, str | None]) -> None:
    code, inner = row

    assert VaultError(code, "text", inner=inner).status == ERRORS[row][0]
    assert ERRORS[row][1].startswith("https://")


def test_an_error_that_is_not_documented_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        VaultError("Forbidden", "text", inner="Invented")

"""Who may call a vault: challenge, tokens, permissions, firewall."""

from __future__ import annotations

import pytest

from ksm_storage_emulators.json_web_token import encode

from .conftest import HSM, VAULT, Answer, Wire

BODY = {"alg": "RSA-OAEP-256", "value": encode(b"k" * 32)}


def wrap(wire: Wire, token: str | None = None) -> Answer:
    return wire.post("/keys/app/wrapkey", BODY, token=token)


def assert_challenged(answer: Answer, *, resource: str, wire: Wire) -> None:
    assert (answer.status, answer.error) == (401, ("Unauthorized", None))
    challenge = answer.headers["www-authenticate"]
    assert challenge == (
        f'Bearer authorization="https://login.microsoftonline.com/{wire.service.directory.tenant_id}"'
        f', resource="{resource}"'
    )


@pytest.fixture(autouse=True)
def _key(wire: Wire) -> None:
    wire.service.create_key("app")


def test_a_call_without_a_token_is_challenged(wire: Wire) -> None:
    answer = wire.post("/keys/app/wrapkey", {}, headers={"Authorization": ""})

    assert_challenged(answer, resource=VAULT, wire=wire)
    assert answer.body["error"]["message"].startswith("AKV10000")
    assert wire.emulator.transcript.calls() == {"challenge": 1}


def test_a_managed_hsm_asks_for_a_token_of_its_own(wire: Wire) -> None:
    wire.service.add_managed_hsm("h")

    answer = wire.post("/keys/app/encrypt", {}, host="h.managedhsm.azure.net")

    assert_challenged(answer, resource=HSM, wire=wire)
    assert answer.body["error"]["message"].startswith("AKV10022")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.AA", "e30.e30"])
def test_a_token_of_another_form_is_refused(wire: Wire, token: str) -> None:
    answer = wrap(wire, token or " ")

    assert_challenged(answer, resource=VAULT, wire=wire)


def test_an_altered_token_is_refused(wire: Wire) -> None:
    head, claims, signature = wire.token().split(".")
    flipped = ("B" if claims[10] == "A" else "A").join((claims[:10], claims[11:]))

    assert wrap(wire, f"{head}.{flipped}.{signature}").status == 401


def test_a_token_for_another_resource_is_refused(wire: Wire) -> None:
    answer = wrap(wire, wire.token(HSM))

    assert answer.status == 401
    assert answer.body["error"]["message"].startswith("AKV10022: Invalid audience")


def test_a_token_of_another_tenant_is_refused(wire: Wire) -> None:
    principal = wire.service.administrator.principal
    issuer = "https://sts.windows.net/other/"

    answer = wrap(wire, wire.service.tokens.issue(principal, VAULT, issuer=issuer))

    assert answer.status == 401
    assert answer.body["error"]["message"].startswith("AKV10032: Invalid issuer")


def test_an_expired_token_is_refused(wire: Wire) -> None:
    token = wire.token()
    wire.emulator.clock.advance(3600)

    assert wrap(wire, token).status == 401
    assert wrap(wire).status == 200


@pytest.mark.parametrize(
    ("authorization", "inner"), [("policy", "ForbiddenByPolicy"), ("rbac", "ForbiddenByRbac")]
)
def test_a_caller_without_the_permission_is_forbidden(
    wire: Wire, authorization: str, inner: str
) -> None:
    vault = wire.service.add_vault("v", authorization=authorization)
    wire.service.create_key("app", vault=vault)
    principal = wire.service.directory.add_application("reader").principal
    vault.grant(principal.object_id, ["unwrapKey"])
    options = {"host": vault.host, "token": wire.token(principal=principal)}

    refused = wire.post("/keys/app/wrapkey", BODY, **options)
    allowed = wire.post("/keys/app/unwrapkey", BODY, **options)

    assert (refused.status, refused.error) == (403, ("Forbidden", inner))
    # Whether the value fits is asked after the permission.
    assert allowed.error == ("BadParameter", None)


def test_a_managed_hsm_forbids_without_an_inner_code(wire: Wire) -> None:
    hsm = wire.service.add_managed_hsm("h")
    principal = wire.service.directory.add_application("nobody").principal
    token = wire.token(HSM, principal)

    answer = wire.post("/keys/app/encrypt", BODY, host=hsm.host, token=token)

    assert (answer.status, answer.error) == (403, ("Forbidden", None))


def test_a_vault_behind_its_firewall_is_closed_to_its_administrator_too(wire: Wire) -> None:
    wire.service.demo.closed_by_firewall = True

    assert wrap(wire).error == ("Forbidden", "ForbiddenByFirewall")


def test_whether_a_key_exists_is_not_told_to_everybody(wire: Wire) -> None:
    principal = wire.service.directory.add_application("nobody").principal

    answer = wire.post("/keys/none/wrapkey", BODY, token=wire.token(principal=principal))

    assert answer.error == ("Forbidden", "ForbiddenByRbac")


@pytest.mark.parametrize("host", ["Demo.Vault.Azure.Net", "demo.vault.azure.net:443", "127.0.0.1"])
def test_the_host_names_the_vault_and_an_address_means_the_first(wire: Wire, host: str) -> None:
    answer = wire.send("GET", "/keys/app", host=host)

    assert answer.body["key"]["kid"].startswith("https://demo.vault.azure.net/")

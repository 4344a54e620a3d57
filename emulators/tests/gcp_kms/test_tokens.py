"""The endpoints that give tokens out, and which assertions they believe."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from google.auth import crypt, jwt

from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR, GcpKmsService
from ksm_storage_emulators.gcp_kms.token_endpoints import JWT_BEARER
from ksm_storage_emulators.gcp_kms.workload_identity import EXCHANGE, PROVIDER

from .conftest import SCOPE, Caller

Kms = Emulator[GcpKmsService]


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
    request = urllib.request.Request(url, data=body, headers=dict(headers))  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


def _exchanged(kms: Kms, assertion: str) -> tuple[int, Any]:
    form = urllib.parse.urlencode({"grant_type": JWT_BEARER, "assertion": assertion})
    return _post(f"{kms.url}/token", form.encode(), {})


def _assertion(
    kms: Kms, changes: Mapping[str, object] | None = None, *, signer: str | None = None
) -> str:
    account = kms.service.administrator
    key_file = json.loads(account.key_file(f"{kms.url}/token"))
    key = signer or key_file["private_key"]
    now = int(time.time())
    claims = {
        "iss": account.email,
        "aud": f"{kms.url}/token",
        "scope": SCOPE,
        "iat": now,
        "exp": now + 3600,
    }
    signing = crypt.RSASigner.from_string(key, account.key_id)  # type: ignore[no-untyped-call]
    encoded: bytes = jwt.encode(signing, {**claims, **(changes or {})})  # type: ignore[no-untyped-call]
    return encoded.decode()


def test_a_signed_assertion_is_exchanged_for_a_token_that_calls(kms: Kms, call: Caller) -> None:
    status, body = _exchanged(kms, _assertion(kms))
    key = kms.service.create_key("by-token")

    assert status == 200
    assert call(
        "encrypt", name=key.name, plaintext=b"p", authorization=f"Bearer {body['access_token']}"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://elsewhere.example/token"},
        {"iss": "stranger@demo.iam.gserviceaccount.com"},
        {"scope": ""},
        {"iat": 1_000_000_000, "exp": 1_000_003_600},
        {"exp": 4_000_000_000},
    ],
    ids=["audience", "issuer", "scope", "expired", "too long"],
)
def test_an_assertion_that_says_something_else_is_refused(
    kms: Kms, changes: dict[str, object]
) -> None:
    status, body = _exchanged(kms, _assertion(kms, changes))

    assert status == 400
    assert body["error"] in ("invalid_grant", "invalid_scope")


def test_an_assertion_of_another_key_is_refused(kms: Kms) -> None:
    other = kms.service.tokens.add_account("other@demo.iam.gserviceaccount.com")
    key = json.loads(other.key_file(""))["private_key"]

    assert _exchanged(kms, _assertion(kms, signer=key))[0] == 400


@pytest.mark.parametrize("assertion", ["", "a.b.c", "e30.e30.e30", "junk"])
def test_junk_is_refused(kms: Kms, assertion: str) -> None:
    assert _exchanged(kms, assertion)[0] == 400


def test_a_clock_that_is_wrong_is_noticed(kms: Kms) -> None:
    kms.clock.set_skew(7200)

    assert _exchanged(kms, _assertion(kms))[0] == 400


@pytest.fixture
def instance(kms: Kms) -> Iterator[None]:
    """Have a metadata server."""
    kms.service.endpoints.instance_account = ADMINISTRATOR
    yield
    kms.service.endpoints.instance_account = None


def _metadata(kms: Kms, headers: Mapping[str, str]) -> int:
    path = "/computeMetadata/v1/instance/service-accounts/default/token"
    request = urllib.request.Request(f"{kms.url}{path}", headers=dict(headers))  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310
            return int(reply.status)
    except urllib.error.HTTPError as exc:
        return exc.code


def test_the_metadata_server_wants_its_header(kms: Kms, instance: None) -> None:
    assert _metadata(kms, {}) == 403
    assert _metadata(kms, {"Metadata-Flavor": "Google"}) == 200


def test_without_an_instance_there_is_no_metadata_server(kms: Kms) -> None:
    assert _metadata(kms, {"Metadata-Flavor": "Google"}) == 404


@pytest.mark.parametrize(("email", "status"), [(ADMINISTRATOR, 200), ("x@y.example", 403)])
def test_only_who_may_impersonates(kms: Kms, email: str, status: int) -> None:
    kms.service.tokens.add_account("target@demo.iam.gserviceaccount.com")
    scope = "https://www.googleapis.com/auth/cloud-platform"
    token = kms.service.tokens.issue(email, frozenset([scope]))
    path = "/v1/projects/-/serviceAccounts/target@demo.iam.gserviceaccount.com:generateAccessToken"
    body = json.dumps({"scope": [SCOPE], "lifetime": "600s"}).encode()

    assert _post(f"{kms.url}{path}", body, {"Authorization": f"Bearer {token}"})[0] == status


def _exchanged_foreign(
    kms: Kms, token: str | None = None, changes: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    kind = "urn:ietf:params:oauth:token-type:"
    form = {
        "grant_type": EXCHANGE,
        "audience": PROVIDER,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "requested_token_type": f"{kind}access_token",
        "subject_token": token or kms.service.endpoints.workload_identity.token(),
        "subject_token_type": f"{kind}jwt",
        **(changes or {}),
    }
    return _post(f"{kms.url}/v1/token", urllib.parse.urlencode(form).encode(), {})


def test_a_foreign_token_is_exchanged_for_one_that_calls(kms: Kms, call: Caller) -> None:
    kms.service.policy.grant(kms.service.endpoints.workload_identity.member(), ["*"])

    status, body = _exchanged_foreign(kms)
    key = kms.service.create_key("by-foreign-token")

    assert (status, body["token_type"]) == (200, "Bearer")
    assert call(
        "encrypt", name=key.name, plaintext=b"p", authorization=f"Bearer {body['access_token']}"
    )


@pytest.mark.parametrize(
    ("wrong", "changes", "error"),
    [
        ({"seconds": -1}, {}, "invalid_grant"),
        ({"audience": "https://elsewhere.example"}, {}, "invalid_grant"),
        ({"subject": "stranger"}, {}, "unauthorized_client"),
        ({}, {"subject_token": "junk"}, "invalid_request"),
        ({}, {"subject_token": ""}, "invalid_request"),
        ({}, {"audience": f"{PROVIDER}-gone"}, "invalid_target"),
        ({}, {"scope": ""}, "invalid_request"),
        ({}, {"grant_type": "password"}, "unsupported_grant_type"),
        ({}, {"requested_token_type": "junk"}, "invalid_request"),
        ({}, {"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
    ],
    ids=str,
)
def test_a_foreign_token_that_says_something_else_is_refused(
    kms: Kms, wrong: dict[str, Any], changes: dict[str, str], error: str
) -> None:
    token = kms.service.endpoints.workload_identity.token(**wrong)

    status, body = _exchanged_foreign(kms, token, changes)

    assert (status, body["error"]) == (400, error)


def test_a_foreign_token_of_another_issuer_is_refused(kms: Kms) -> None:
    head, body, mark = kms.service.endpoints.workload_identity.token().split(".")

    status, answer = _exchanged_foreign(kms, f"{head}.{body}.{mark[::-1]}")

    assert (status, answer["error"]) == (400, "invalid_grant")


def test_a_pool_that_is_disabled_exchanges_nothing(
    kms: Kms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kms.service.endpoints.workload_identity, "is_enabled", False)

    assert _exchanged_foreign(kms)[1]["error"] == "invalid_target"

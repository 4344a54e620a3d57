"""Whose requests are accepted: signatures, their dates, tokens."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import oci
import pytest
from oci._vendor import requests

from ksm_storage_emulators.oci_vault.identities import Grant

from .conftest import Clients, OciVault
from .crypto_requests import encrypt, refused

UNSIGNED = (401, "NotAuthenticated")


@pytest.fixture
def signed(oci_vault: OciVault, key_id: str) -> Any:
    """A request as Oracle's client signs it, not yet sent."""
    service = oci_vault.service
    caller = service.administrator
    signer = oci.signer.Signer(
        service.identities.tenancy,
        caller.user,
        caller.fingerprint,
        None,
        private_key_content=caller.pem().decode(),
    )
    body = json.dumps({"keyId": key_id, "plaintext": base64.b64encode(b"x").decode()})
    request = requests.Request(
        "POST",
        f"{oci_vault.url}/20180608/encrypt",
        data=body,
        auth=signer,
        headers={"content-type": "application/json"},
    )
    return request.prepare()


def _sent(request: Any) -> tuple[int, str]:
    with requests.Session() as session:
        reply = session.send(request, timeout=2)
    return reply.status_code, reply.json().get("code", "")


def _header(name: str, change: Callable[[str], str]) -> Callable[[Any], None]:
    def alter(request: Any) -> None:
        request.headers[name] = change(request.headers[name])

    return alter


def _body(request: Any) -> None:
    request.body = request.body.replace("plaintext", "Plaintext")


def _path(request: Any) -> None:
    request.url += "?x=1"


ALTERED: dict[str, Callable[[Any], None]] = {
    "body": _body,
    "target": _path,
    "date": _header("date", lambda text: text.replace("GMT", "UTC")),
    "no date": _header("date", lambda _: "yesterday"),
    "content type": _header("content-type", lambda text: f"{text};x"),
    "digest": _header("x-content-sha256", lambda text: text.lower()),
    "version": _header("Authorization", lambda text: text.replace('version="1"', 'version="2"')),
    "algorithm": _header("Authorization", lambda text: text.replace("sha256", "sha512", 1)),
    "key": _header("Authorization", lambda text: text.replace("ocid1.user", "ocid1.User")),
    "scheme": _header("Authorization", lambda text: text.replace("Signature ", "Bearer ", 1)),
    "signature": _header("Authorization", lambda text: text.replace('signature="', 'signature="A')),
    "unsigned host": _header("Authorization", lambda text: text.replace(" host", "", 1)),
    "unsigned digest": _header(
        "Authorization", lambda text: text.replace(" x-content-sha256", "", 1)
    ),
    "header twice": _header("Authorization", lambda text: text.replace(" host", " host host", 1)),
    "empty": _header("Authorization", lambda _: ""),
}


def test_a_request_as_the_client_signs_it_is_accepted(signed: Any) -> None:
    assert _sent(signed) == (200, "")


def test_header_names_may_be_listed_in_any_case(signed: Any) -> None:
    # As clients in other languages write them; what is signed has them in lower case.
    _header("Authorization", lambda text: text.replace(" host", " Host", 1))(signed)

    assert _sent(signed) == (200, "")


@pytest.mark.parametrize("alter", ALTERED.values(), ids=ALTERED)
def test_a_request_that_was_altered_is_not_authenticated(
    signed: Any, alter: Callable[[Any], None]
) -> None:
    alter(signed)

    assert _sent(signed) == UNSIGNED


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(290, True), (-290, True), (310, False), (-310, False)]
)
def test_a_clock_may_be_off_by_five_minutes(
    oci_vault: OciVault, crypto: Any, key_id: str, seconds: float, accepted: bool
) -> None:
    oci_vault.clock.set_skew(seconds)

    if accepted:
        encrypt(crypto, key_id)
    else:
        assert refused(lambda: encrypt(crypto, key_id)) == UNSIGNED


def test_a_revoked_key_signs_no_more(oci_vault: OciVault, clients: Clients, key_id: str) -> None:
    caller = oci_vault.service.identities.add_user([Grant("*")])
    client = clients.crypto(caller)
    encrypt(client, key_id)
    oci_vault.service.identities.revoke(caller)

    assert refused(lambda: encrypt(client, key_id)) == UNSIGNED


def test_a_token_signs_until_it_expires(oci_vault: OciVault, clients: Clients, key_id: str) -> None:
    service = oci_vault.service
    session = service.identities.issue_session(service.administrator.principal, seconds=60)
    client = clients.crypto(session)
    encrypt(client, key_id)
    oci_vault.clock.advance(61)

    assert refused(lambda: encrypt(client, key_id)) == UNSIGNED


def test_metadata_of_an_instance_need_the_header(oci_vault: OciVault) -> None:
    oci_vault.service.instances.start([Grant("*")])
    url = f"{oci_vault.url}/opc/v2/instance/region"
    headers = {"Authorization": "Bearer Oracle"}

    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=2) as reply:  # noqa: S310
        region = reply.read()
    forwarded = {**headers, "X-Forwarded-For": "192.0.2.1"}
    for refused_headers in ({}, forwarded):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(  # noqa: S310
                urllib.request.Request(url, headers=refused_headers),  # noqa: S310
                timeout=2,
            )

    assert region == b"iad"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"certificate": "AAAA"}, 401, "NotAuthenticated"),
        ({"intermediateCertificates": []}, 401, "NotAuthenticated"),
        ({"intermediateCertificates": ["AAAA"]}, 401, "NotAuthenticated"),
        ({"intermediateCertificates": "AAAA"}, 400, "InvalidParameter"),
        ({"publicKey": "AAAA"}, 400, "InvalidParameter"),
        ({"publicKey": None}, 400, "MissingParameter"),
    ],
    ids=str,
)
def test_a_token_is_issued_for_the_certificate_and_its_issuer_only(
    oci_vault: OciVault,
    monkeypatch: pytest.MonkeyPatch,
    change: Mapping[str, object],
    status: int,
    code: str,
) -> None:
    oci_vault.service.instances.start([])
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{oci_vault.url}/opc/v2")
    federation = oci.auth.signers.InstancePrincipalsSecurityTokenSigner(
        federation_endpoint=f"{oci_vault.url}/v1/x509"
    ).federation_client
    post = federation.requests_session.post

    federation.requests_session.post = lambda url, *, json, **named: post(
        url, json={**json, **change}, **named
    )

    assert refused(federation._get_security_token_from_auth_service) == (status, code)


def test_a_key_of_an_instance_alone_signs_no_request_to_the_vault(
    oci_vault: OciVault, monkeypatch: pytest.MonkeyPatch, key_id: str
) -> None:
    oci_vault.service.instances.start([Grant("KEY_ENCRYPT", key_id)])
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{oci_vault.url}/opc/v2")
    signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner(
        federation_endpoint=f"{oci_vault.url}/v1/x509"
    )
    client = oci.key_management.KmsCryptoClient({}, oci_vault.url, signer=signer)
    encrypt(client, key_id)

    signer.federation_client.get_security_token = lambda: "of somebody else"

    assert refused(lambda: encrypt(client, key_id)) == UNSIGNED

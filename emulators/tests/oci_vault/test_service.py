"""Faults, quotas, paths, and the environment that clients are given."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import Any

import oci
import pytest

from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.registry import create_service

from .conftest import Clients, OciVault
from .crypto_requests import DEK, decrypt, encrypt, plaintext_of, refused


def test_a_throttled_call_is_told_in_the_words_of_the_service(
    oci_vault: OciVault, crypto: Any, key_id: str
) -> None:
    oci_vault.faults.add(FaultKind.THROTTLE, operation="Encrypt", times=1, retry_after_seconds=3)

    with pytest.raises(oci.exceptions.ServiceError) as caught:
        encrypt(crypto, key_id)

    assert (caught.value.status, caught.value.code) == (429, "TooManyRequests")
    assert caught.value.headers["Retry-After"] == "3"
    assert caught.value.request_id
    encrypt(crypto, key_id)


@pytest.mark.parametrize(
    ("status", "code"), [(500, "InternalServerError"), (503, "ServiceUnavailable")]
)
def test_a_failure_is_told_in_the_words_of_the_service(
    oci_vault: OciVault, crypto: Any, key_id: str, status: int, code: str
) -> None:
    oci_vault.faults.add(FaultKind.ERROR, status=status)

    assert refused(lambda: encrypt(crypto, key_id)) == (status, code)


def test_a_quota_throttles_until_a_second_has_passed(
    oci_vault: OciVault, crypto: Any, key_id: str
) -> None:
    oci_vault.clock.freeze()
    oci_vault.quotas.limit(1, operation="Encrypt")
    encrypt(crypto, key_id)

    assert refused(lambda: encrypt(crypto, key_id)) == (429, "TooManyRequests")
    oci_vault.clock.advance(1)
    encrypt(crypto, key_id)


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.TRUNCATE, FaultKind.HANG])
def test_a_fault_on_the_wire_is_no_answer(
    oci_vault: OciVault, clients: Clients, key_id: str, kind: FaultKind
) -> None:
    if kind is FaultKind.HANG:
        clients.seconds = 0.5
    oci_vault.faults.add(kind, times=1)

    with pytest.raises(oci.exceptions.RequestException):
        encrypt(clients.crypto(), key_id)


def test_falsified_replies_are_false_in_one_place(
    oci_vault: OciVault, crypto: Any, key_id: str
) -> None:
    sealed = encrypt(crypto, key_id)
    true = decrypt(crypto, key_id, sealed.ciphertext)
    seen = {}
    for kind in (FaultKind.WRONG_CHECKSUM, FaultKind.WRONG_KEY_ID, FaultKind.OVER_LONG_KEY):
        oci_vault.faults.add(kind, times=1)
        seen[kind] = decrypt(crypto, key_id, sealed.ciphertext)

    assert seen[FaultKind.WRONG_CHECKSUM].plaintext_checksum != true.plaintext_checksum
    assert seen[FaultKind.WRONG_KEY_ID].key_id != key_id
    assert plaintext_of(seen[FaultKind.OVER_LONG_KEY]) == DEK + b"\0"
    assert plaintext_of(decrypt(crypto, key_id, sealed.ciphertext)) == DEK


BODIES = {
    b"no json": "CannotParseRequest",
    b"[]": "CannotParseRequest",
    b"{}": "MissingParameter",
    b'{"keyId": 7}': "InvalidParameter",
}


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_makes_no_sense_is_refused(crypto: Any, body: bytes) -> None:
    refusal = refused(lambda: _post(crypto, "/20180608/encrypt", body))

    assert refusal == (400, BODIES[body])


@pytest.mark.parametrize("member", [{"plaintext": "A"}, {"plaintext": ""}, {}])
def test_a_plaintext_that_is_no_base64_is_refused(
    crypto: Any, key_id: str, member: dict[str, str]
) -> None:
    body = json.dumps({"keyId": key_id, **member}).encode()

    assert refused(lambda: _post(crypto, "/20180608/encrypt", body))[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "refusal"),
    [
        ("POST", "/20180608/nothing", (404, "NotFound")),
        ("GET", "/20180608/encrypt", (405, "MethodNotAllowed")),
        ("GET", "/opc/v2/instance/region", (404, "NotFound")),
    ],
)
def test_a_path_without_an_operation_is_refused(
    crypto: Any, method: str, path: str, refusal: tuple[int, str]
) -> None:
    assert refused(lambda: _post(crypto, path, b"{}", method=method)) == refusal


def test_the_environment_is_enough_for_a_client(oci_vault: OciVault, key_id: str) -> None:
    variables = oci_vault.environment()
    config = oci.config.from_file(variables["OCI_CONFIG_FILE"])

    client = oci.key_management.KmsCryptoClient(config, variables["OCI_VAULT_ENDPOINT"])

    assert encrypt(client, key_id).key_id == key_id


def test_the_demonstration_tells_its_keys(start_emulator: Any) -> None:
    emulator = start_emulator(create_service("oci-vault"))
    variables = emulator.environment()
    config = oci.config.from_file(variables["OCI_CONFIG_FILE"])
    client = oci.key_management.KmsCryptoClient(config, emulator.url)

    encrypt(client, variables["OCI_VAULT_KEY"])
    encrypt(client, variables["OCI_VAULT_RSA_KEY"], encryption_algorithm="RSA_OAEP_SHA_256")


def test_a_user_is_made_from_the_shell(oci_vault: OciVault, key_id: str) -> None:
    grants = {"grants": [{"permission": "KEY_ENCRYPT", "key_id": key_id}]}
    request = urllib.request.Request(  # noqa: S310
        f"{oci_vault.url}/_emulator/service/users", data=json.dumps(grants).encode()
    )
    with urllib.request.urlopen(request, timeout=2) as reply:  # noqa: S310
        user = json.loads(reply.read())
    config = {
        "tenancy": user["tenancy"],
        "user": user["user"],
        "fingerprint": user["fingerprint"],
        "key_content": user["private_key"],
        "region": "us-ashburn-1",
    }
    client = oci.key_management.KmsCryptoClient(config, oci_vault.url)

    ciphertext = encrypt(client, key_id).ciphertext

    assert base64.b64decode(ciphertext)
    assert refused(lambda: decrypt(client, key_id, ciphertext))[0] == 404


def _post(client: Any, path: str, body: bytes, *, method: str = "POST") -> Any:
    headers = {"content-type": "application/json", "accept": "application/json"}
    return client.base_client.call_api(
        path, method, header_params=headers, body=body.decode(), response_type="object"
    )

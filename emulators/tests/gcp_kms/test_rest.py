"""REST on the port of gRPC: the same keys, callers, errors and faults, in Google's JSON."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import google_crc32c
import pytest

from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR, GcpKmsService

from .conftest import SCOPE, Caller

RSA = "RSA_DECRYPT_OAEP_2048_SHA256"
Kms = Emulator[GcpKmsService]


def _posted(
    kms: Kms,
    target: str,
    body: object,
    *,
    authorization: str | None = None,
    context: ssl.SSLContext | None = None,
) -> tuple[int, Any]:
    """Return the status and the JSON of the reply to a POST."""
    token = kms.service.tokens.issue(ADMINISTRATOR, frozenset([SCOPE]))
    address = kms.service.grpc_address
    link = http.client.HTTPConnection(address, timeout=10)
    if context is not None:
        link = http.client.HTTPSConnection(address, timeout=10, context=context)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    link.request("POST", target, raw, {"authorization": authorization or f"Bearer {token}"})
    reply = link.getresponse()
    content = reply.read()
    link.close()
    is_json = reply.getheader("content-type") == "application/json"
    return reply.status, json.loads(content) if is_json else content


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def sealed(kms: Kms, call: Caller) -> tuple[str, dict[str, str]]:
    """Return the path of a key's ``decrypt`` and a request that it answers."""
    name = kms.service.create_key(f"key-{uuid4().hex}").name
    aad = {"additional_authenticated_data": b"context"}
    made = call("encrypt", name=name, plaintext=b"key", **aad)
    body = {"ciphertext": _text(made.ciphertext), "additionalAuthenticatedData": _text(b"context")}
    kms.transcript.reset()
    return f"/v1/{name}:decrypt", body


def test_a_symmetric_key_decrypts(kms: Kms, sealed: tuple[str, dict[str, str]]) -> None:
    status, reply = _posted(kms, *sealed)

    # The form of the real reply: 64-bit numbers are texts, what is false is left out.
    assert (status, reply) == (
        200,
        {
            "plaintext": _text(b"key"),
            "plaintextCrc32c": str(google_crc32c.value(b"key")),
            "usedPrimary": True,
            "protectionLevel": "SOFTWARE",
        },
    )
    assert kms.transcript.calls() == {"Decrypt": 1}


def test_an_asymmetric_version_decrypts(kms: Kms) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    version = kms.service.create_key(f"key-{uuid4().hex}", algorithm=RSA).versions[0]
    assert isinstance(version.private_key, rsa.RSAPrivateKey)
    chosen = hashes.SHA256()
    padded = padding.OAEP(padding.MGF1(chosen), chosen, None)
    ciphertext = version.private_key.public_key().encrypt(b"key", padded)
    body = {"ciphertext": _text(ciphertext), "ciphertextCrc32c": google_crc32c.value(ciphertext)}

    status, reply = _posted(kms, f"/v1/{version.name}:asymmetricDecrypt", body)

    assert status == 200
    assert reply["plaintext"] == _text(b"key")
    assert reply["verifiedCiphertextCrc32c"] is True


def test_a_raw_version_encrypts_and_decrypts(kms: Kms) -> None:
    key = kms.service.create_key(f"key-{uuid4().hex}", algorithm="AES_256_GCM")
    name = key.versions[0].name

    _, made = _posted(kms, f"/v1/{name}:rawEncrypt", {"plaintext": _text(b"key")})
    sealed = {
        "ciphertext": made["ciphertext"],
        "initializationVector": made["initializationVector"],
        "tagLength": made["tagLength"],
    }
    status, reply = _posted(kms, f"/v1/{name}:rawDecrypt", sealed)

    assert (status, reply["plaintext"]) == (200, _text(b"key"))


@pytest.mark.parametrize(
    ("change", "http_status", "status", "message"),
    [
        (b"{", 400, "INVALID_ARGUMENT", "Invalid JSON"),
        (b"\xff", 400, "INVALID_ARGUMENT", "Invalid JSON"),
        ({"unknown": 1}, 400, "INVALID_ARGUMENT", "Invalid JSON"),
        ({"ciphertextCrc32c": "7"}, 400, "INVALID_ARGUMENT", "ciphertext_crc32c did not match"),
        ({"additionalAuthenticatedData": "AAAA"}, 400, "INVALID_ARGUMENT", "is invalid"),
    ],
    ids=str,
)
def test_a_wrong_request_is_the_documented_error(
    kms: Kms,
    sealed: tuple[str, dict[str, str]],
    change: Any,
    http_status: int,
    status: str,
    message: str,
) -> None:
    target, body = sealed

    found, reply = _posted(kms, target, change if isinstance(change, bytes) else {**body, **change})

    assert (found, reply["error"]["code"]) == (http_status, http_status)
    assert reply["error"]["status"] == status
    assert message in reply["error"]["message"]


def test_a_refusal_has_its_reason_in_the_details(
    kms: Kms, sealed: tuple[str, dict[str, str]]
) -> None:
    _, reply = _posted(kms, *sealed, authorization="Bearer junk")

    assert reply["error"]["code"] == 401
    assert reply["error"]["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED",
            "domain": "googleapis.com",
        }
    ]


@pytest.mark.parametrize(
    ("kind", "http_status", "status"),
    [
        (FaultKind.THROTTLE, 429, "RESOURCE_EXHAUSTED"),
        (FaultKind.ERROR, 500, "INTERNAL"),
    ],
)
def test_faults_strike_here_too(
    kms: Kms, sealed: tuple[str, dict[str, str]], kind: FaultKind, http_status: int, status: str
) -> None:
    kms.faults.add(kind, operation="Decrypt", times=1)

    found, reply = _posted(kms, *sealed)

    assert (found, reply["error"]["status"]) == (http_status, status)
    assert _posted(kms, *sealed)[0] == 200


@pytest.mark.parametrize("target", ["/", "/v1/projects/demo:decrypt?x=1", "/v1/projects/p:other"])
def test_what_is_not_there_is_not_found(kms: Kms, target: str) -> None:
    status, _ = _posted(kms, target, {})

    assert status in (400, 404)


@pytest.fixture(scope="module")
def kms_tls(emulator_authority: PrivateAuthority) -> Iterator[Kms]:
    service = GcpKmsService(authority=emulator_authority)
    with Emulator(service, authority=emulator_authority) as emulator:
        yield emulator


def test_both_speak_tls_on_one_port(kms_tls: Kms, emulator_authority: PrivateAuthority) -> None:
    import grpc

    authority = emulator_authority.certificate_pem
    context = ssl.create_default_context(cadata=authority.decode())
    credentials = grpc.ssl_channel_credentials(authority)

    status, _ = _posted(kms_tls, "/v1/projects/p:other", {}, context=context)
    with grpc.secure_channel(kms_tls.service.grpc_address, credentials) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)

    assert status == 404

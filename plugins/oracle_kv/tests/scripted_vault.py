"""A vault that answers what a test tells it to, and keeps what it was asked."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ksm_storage.testing.scripted_server import Answer as Answer
from ksm_storage.testing.scripted_server import Request, ScriptedServer

KEY = "ocid1.key.oc1.iad.afnxza26aag4s.abzwkljsbapzb2nrha5nt3s7s7p42ctcrcj72vn3kq5qx"
VERSION = "ocid1.keyversion.oc1.iad.afnxza26aag4s.aaaajsbapzb2nrha5nt3s7s7p42ctcrcj72vn3kq5qx"
REQUEST_ID = "0F1E2D3CAAAABBBBCCCC0123456789AB"
DEK = bytes(range(32))
CIPHERTEXT = b"c" * 77


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold one request as it came."""

    path: str
    body: Mapping[str, Any]
    peer: tuple[str, int]


def refusal(code: str, *, status: int = 400, text: str = "text of the service") -> Answer:
    """Return an error in the service's form."""
    return Answer(status, json.dumps({"code": code, "message": text}).encode())


def unwrapped(**changes: object) -> Answer:
    """Return the reply to a successful Decrypt; None leaves a member out."""
    plain = {"plaintext": _text(DEK), "plaintextChecksum": str(zlib.crc32(DEK))}
    return _reply({**plain, **_NAMES, **changes})


def wrapped(**changes: object) -> Answer:
    """Return the reply to a successful Encrypt; None leaves a member out."""
    return _reply({"ciphertext": _text(CIPHERTEXT), **_NAMES, **changes})


def signed(**changes: object) -> Answer:
    """Return the reply to a successful Sign; None leaves a member out."""
    names = {"keyId": KEY, "keyVersionId": VERSION, "signingAlgorithm": "ECDSA_SHA_256"}
    return _reply({**names, **changes})


ScriptedVault = ScriptedServer[Asked]


def scripted_vault() -> ScriptedVault:
    """Return the server, which answers each request with the DEK at first."""
    headers = {"Content-Type": "application/json", "opc-request-id": REQUEST_ID}
    return ScriptedServer(unwrapped(), read=_read, headers=headers)


def _read(request: Request) -> Asked:
    return Asked(request.path, json.loads(request.body), request.peer)


def _reply(body: Mapping[str, object]) -> Answer:
    given = {name: value for name, value in body.items() if value is not None}
    return Answer(body=json.dumps(given).encode())


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


_NAMES: Mapping[str, object] = {
    "keyId": KEY,
    "keyVersionId": VERSION,
    "encryptionAlgorithm": "AES_256_GCM",
}

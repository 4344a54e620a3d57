"""A KMS that answers what a test tells it to, and keeps what it was asked."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ksm_storage.testing.scripted_server import Answer as Answer
from ksm_storage.testing.scripted_server import Request, ScriptedServer

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
REQUEST_ID = "0f1e2d3c-aaaa-bbbb-cccc-0123456789ab"
DEK = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold one request as it came."""

    operation: str
    body: Mapping[str, Any]
    peer: tuple[str, int]
    authorization: str


ScriptedKms = ScriptedServer[Asked]


def scripted_kms() -> ScriptedKms:
    """Return the server, which answers each ``Decrypt`` with the DEK at first."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": REQUEST_ID}
    return ScriptedServer(unwrapped(), read=_read, headers=headers)


def refusal(code: str, *, status: int = 400, text: str = "text of the service") -> Answer:
    """Return an error in the form of the protocol."""
    return Answer(status, json.dumps({"__type": code, "message": text}).encode())


def unwrapped(*, key_id: str = ARN, dek: bytes = DEK) -> Answer:
    """Return the reply to a successful Decrypt."""
    return _reply({"KeyId": key_id, "Plaintext": _text(dek)})


def wrapped(*, key_id: str = ARN, ciphertext: bytes = b"c" * 150) -> Answer:
    """Return the reply to a successful Encrypt."""
    return _reply({"KeyId": key_id, "CiphertextBlob": _text(ciphertext)})


def _read(request: Request) -> Asked:
    operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
    body = json.loads(request.body) if operation else {}
    return Asked(operation, body, request.peer, request.headers.get("authorization", ""))


def _reply(body: Mapping[str, Any]) -> Answer:
    return Answer(body=json.dumps(body).encode())


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

"""A small Keeper server to stand behind the official SDK's ``custom_post_function``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from keeper_secrets_manager_core.dto.payload import KSMHttpResponse

HOST = "keeper.example.com"
SECRET = "the secret of the record"


@dataclass
class ErrorReply:
    """Hold what the SDK reads of an HTTP error."""

    text: str
    status_code: int = 403
    reason: str = "Forbidden"


@dataclass
class KeeperServer:
    """Bind one client device with one token, and answer its signed requests.

    Attributes:
        key_id: The id of the public key that requests must be sealed to.
        requests: The public key ids of the requests so far.
    """

    key_id: str = "20"
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._private_key = ec.generate_private_key(ec.SECP256R1())
        self._token = os.urandom(32)
        self._app_key, self._record_key = os.urandom(32), os.urandom(32)
        self._device: ec.EllipticCurvePublicKey | None = None

    @property
    def token(self) -> str:
        """The one-time token, with the host."""
        return f"{HOST}:{base64.urlsafe_b64encode(self._token).decode().rstrip('=')}"

    @property
    def public_key(self) -> str:
        """The public key as the SDK takes it."""
        return base64.urlsafe_b64encode(_point(self._private_key.public_key())).decode()

    def post(
        self, url: str, transmission: Any, request: Any, verify: bool, proxy: str | None
    ) -> KSMHttpResponse:
        """Answer a request, as ``custom_post_function`` does."""
        assert url == f"https://{HOST}/api/rest/sm/v1/get_secret"
        self.requests.append(str(transmission.publicKeyId))
        if str(transmission.publicKeyId) != self.key_id:
            text = json.dumps({"error": "key", "key_id": self.key_id})
            return KSMHttpResponse(403, None, ErrorReply(text))
        key = self._transmission_key(transmission.encryptedKey)
        payload = json.loads(_opened(key, request.encrypted_payload))
        self._check(payload, transmission.encryptedKey + request.encrypted_payload, request)
        return KSMHttpResponse(200, _sealed(key, json.dumps(self._answer(payload)).encode()))

    def _transmission_key(self, encrypted: bytes) -> bytes:
        ephemeral = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), encrypted[:65])
        shared = self._private_key.exchange(ec.ECDH(), ephemeral)
        return _opened(hashlib.sha256(shared).digest(), encrypted[65:])

    def _check(self, payload: dict[str, Any], signed: bytes, request: Any) -> None:
        text = b"KEEPER_SECRETS_MANAGER_CLIENT_ID"
        client_id = hmac.new(self._token, text, hashlib.sha512).digest()
        assert base64.b64decode(payload["clientId"]) == client_id
        if payload.get("publicKey"):
            point = base64.b64decode(payload["publicKey"])
            device = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
            assert self._device is None or _point(self._device) == point, "bound to another key"
            self._device = device
        assert self._device is not None, "not bound"
        self._device.verify(request.signature, signed, ec.ECDSA(hashes.SHA256()))

    def _answer(self, payload: dict[str, Any]) -> dict[str, Any]:
        record = {
            "title": "Record",
            "type": "login",
            "fields": [{"type": "password", "value": [SECRET]}],
            "custom": [],
        }
        answer: dict[str, Any] = {
            "records": [
                {
                    "recordUid": "AAAAAAAAAAAAAAAAAAAAAA",
                    "recordKey": _text(_sealed(self._app_key, self._record_key)),
                    "data": _text(_sealed(self._record_key, json.dumps(record).encode())),
                    "revision": 1,
                    "isEditable": True,
                }
            ]
        }
        if payload.get("publicKey"):
            answer["encryptedAppKey"] = _text(_sealed(self._token, self._app_key))
            answer["appOwnerPublicKey"] = self.public_key
        return answer


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _sealed(key: bytes, plaintext: bytes) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, None)


def _opened(key: bytes, sealed: bytes) -> bytes:
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], None)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()

"""A bare client device: says exactly what a test wants said, from the address it wants."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from ksm_storage_local_vault.owner.access import NewClient
from ksm_storage_local_vault.testing import LocalVault

from ksm_storage.wire.aes import cbc_seal, gcm_open, gcm_seal
from ksm_storage.wire.base64_forms import from_base64, new_uid, to_base64
from ksm_storage.wire.endpoints import API_PATH, CLIENT_VERSION
from ksm_storage.wire.keys import client_id_from_token, new_private_key, public_point_of
from ksm_storage.wire.signed_request import SignedRequest, make_request, signer


@dataclass(frozen=True)
class Reply:
    """What the server said."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def refusal(self) -> Mapping[str, Any]:
        parsed: Mapping[str, Any] = json.loads(self.body)
        return parsed

    @property
    def message(self) -> str:
        return str(self.refusal["message"])


@dataclass
class Device:
    """A device with a token; nothing is done that a test did not ask for."""

    vault: LocalVault
    token: bytes = field(repr=False)
    private_key: ec.EllipticCurvePrivateKey = field(default_factory=new_private_key, repr=False)
    app_key: bytes = field(default=b"", repr=False)
    source: str = "127.0.0.1"

    @classmethod
    def of(cls, vault: LocalVault, client: NewClient) -> Device:
        return cls(vault, from_base64(client.token))

    @classmethod
    def bound(cls, vault: LocalVault, **terms: Any) -> Device:
        """Return a device that has bound with a token of these terms."""
        device = cls.of(vault, vault.new_client(**terms))
        device.bind()
        return device

    @property
    def client_id(self) -> str:
        return client_id_from_token(self.token)

    @property
    def public_key(self) -> str:
        return to_base64(public_point_of(self.private_key))

    def bind(self) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.ask("get_secret", publicKey=self.public_key)
        self.app_key = gcm_open(self.token, from_base64(answer["encryptedAppKey"]))
        return answer

    def ask(self, path: str, **payload: object) -> Any:
        """Return the decrypted answer; fail where the server refuses."""
        signed, key = self.sign(payload)
        reply = self.send(path, signed)
        assert reply.status == 200, (reply.status, reply.body)
        return json.loads(gcm_open(key, reply.body)) if reply.body else None

    def rejected(self, path: str, **payload: object) -> Reply:
        """Return the refusal; fail where the server does not refuse."""
        reply = self.send(path, self.sign(payload)[0])
        assert reply.status != 200
        return reply

    def sign(
        self, payload: Mapping[str, object], *, key_id: str | None = None
    ) -> tuple[SignedRequest, bytes]:
        whole = {"clientVersion": CLIENT_VERSION, "clientId": self.client_id, **payload}
        return make_request(
            json.dumps(whole).encode(),
            sign=signer(self.private_key),
            server_public_key=from_base64(self.vault.server_public_key),
            public_key_id=key_id or self.vault.server_public_key_id,
        )

    def send(
        self, path: str, signed: SignedRequest, headers: Mapping[str, str] | None = None
    ) -> Reply:
        return self.exchange(
            "POST", API_PATH + path, signed.body, {**signed.headers(), **(headers or {})}
        )

    def exchange(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        host, _, port = self.vault.address.rpartition(":")
        connection = http.client.HTTPSConnection(
            host,
            int(port),
            timeout=20,
            source_address=(self.source, 0),
            context=ssl.create_default_context(cafile=self.vault.ca_file),
        )
        try:
            connection.request(method, target, body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, response.read(), dict(response.headers))
        finally:
            connection.close()

    def new_record(self, folder_uid: str, folder_key: bytes, contents: object) -> dict[str, Any]:
        """Return the payload of create_secret."""
        key = b"k" * 32
        return {
            "recordUid": new_uid(),
            "recordKey": to_base64(gcm_seal(key, key)),
            "folderUid": folder_uid,
            "folderKey": to_base64(gcm_seal(folder_key, key)),
            "data": to_base64(gcm_seal(key, json.dumps(contents).encode())),
        }

    def new_folder(self, root_uid: str, root_key: bytes, name: str) -> dict[str, Any]:
        """Return the payload of create_folder."""
        key = b"f" * 32
        return {
            "folderUid": new_uid(),
            "sharedFolderUid": root_uid,
            "sharedFolderKey": to_base64(cbc_seal(root_key, key)),
            "data": to_base64(cbc_seal(key, json.dumps({"name": name}).encode())),
        }

    def folder_key(self, folder: Mapping[str, Any]) -> bytes:
        """Return the key of a shared folder of get_secret."""
        return gcm_open(self.app_key, from_base64(folder["folderKey"]))

"""A fresh emulator, and two ways to call it: raw requests, and the client library."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from azure.core.credentials import AccessTokenInfo
from azure.keyvault.keys import KeyClient

from ksm_storage_emulators.azure_key_vault.directory import Principal
from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService
from ksm_storage_emulators.emulator import Emulator

KeyVault = Emulator[AzureKeyVaultService]
VAULT = "https://vault.azure.net"
HSM = "https://managedhsm.azure.net"


@dataclass(frozen=True)
class Answer:
    """A reply: status, JSON body, headers in lower case."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> tuple[str, str | None]:
        """The code and the inner code of an error."""
        error = self.body["error"]
        return error["code"], error.get("innererror", {}).get("code")


class Wire:
    """Send requests as they are, to whichever host they name."""

    def __init__(self, emulator: KeyVault) -> None:
        self.emulator = emulator
        self.service = emulator.service
        self._tls = ssl.create_default_context(cafile=emulator.address.ca_file)

    def token(self, resource: str = VAULT, principal: Principal | None = None) -> str:
        """Return a token of a principal, by default the administrator's."""
        caller = principal or self.service.administrator.principal
        return self.service.tokens.issue(caller, resource)

    def post(self, path: str, body: object, **options: Any) -> Answer:
        """Post a JSON body to a key of the vault `demo`."""
        return self.send("POST", path, json.dumps(body).encode(), **options)

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        host: str = "demo.vault.azure.net",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request; `token` is the administrator's unless it is given."""
        own = {
            "Host": host,
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.token() if token is None else token}",
        }
        if "?" not in path:
            path += "?api-version=7.4"
        sent = {name: value for name, value in {**own, **(headers or {})}.items() if value}
        address = self.emulator.address
        connection = http.client.HTTPSConnection("localhost", address.port, context=self._tls)
        try:
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            raw = reply.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in reply.getheaders()}
        return Answer(reply.status, json.loads(raw) if raw else None, found)


@pytest.fixture
def wire(azure_key_vault: KeyVault) -> Wire:
    return Wire(azure_key_vault)


@pytest.fixture
def keys(azure_key_vault: KeyVault, wire: Wire) -> KeyClient:
    """The client library, at the emulator's address."""

    class Administrator:
        def get_token_info(self, *_: str, options: object = None) -> AccessTokenInfo:
            return AccessTokenInfo(wire.token(), 9_999_999_999)

    caller: Any = Administrator()
    return KeyClient(
        azure_key_vault.url,
        caller,
        verify_challenge_resource=False,
        connection_verify=azure_key_vault.address.ca_file,
        retry_total=0,
    )

"""One request to a vault: what it asks for, who asks, and its arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ksm_storage_emulators.azure_key_vault.errors import bad_parameter
from ksm_storage_emulators.azure_key_vault.vaults import Vault, VaultStore
from ksm_storage_emulators.json_web_token import decode
from ksm_storage_emulators.message import Request
from ksm_storage_emulators.service import Call

_NAME = r"(?P<name>[0-9a-zA-Z-]{1,127})"
_VERSION = r"(?P<version>[0-9a-f]{32})"

# Method, form of the path, operation. The path's last word has no case. The version may be empty,
# slash and all: Microsoft's client for JavaScript sends /keys/NAME//unwrapkey.
_ROUTES = [
    ("POST", rf"/keys/{_NAME}(?:/{_VERSION}?)?/wrapkey", "wrapKey"),
    ("POST", rf"/keys/{_NAME}(?:/{_VERSION}?)?/unwrapkey", "unwrapKey"),
    ("POST", rf"/keys/{_NAME}(?:/{_VERSION}?)?/encrypt", "encrypt"),
    ("POST", rf"/keys/{_NAME}(?:/{_VERSION}?)?/decrypt", "decrypt"),
    ("POST", rf"/keys/{_NAME}(?:/{_VERSION}?)?/sign", "sign"),
    ("POST", rf"/keys/{_NAME}/create", "create"),
    ("POST", rf"/keys/{_NAME}/rotate", "rotate"),
    ("GET", rf"/keys/{_NAME}/rotationpolicy", "getrotationpolicy"),
    ("PUT", rf"/keys/{_NAME}/rotationpolicy", "setrotationpolicy"),
    ("GET", rf"/keys/{_NAME}(?:/{_VERSION})?/?", "get"),
    ("PATCH", rf"/keys/{_NAME}(?:/{_VERSION})?/?", "update"),
    ("DELETE", rf"/keys/{_NAME}", "delete"),
    ("GET", rf"/deletedkeys/{_NAME}", "get-deleted"),
    ("POST", rf"/deletedkeys/{_NAME}/recover", "recover"),
    ("DELETE", rf"/deletedkeys/{_NAME}", "purge"),
]
_COMPILED = [(method, re.compile(form, re.IGNORECASE), name) for method, form, name in _ROUTES]

# https://learn.microsoft.com/en-us/rest/api/keyvault/ lists them.
API_VERSIONS = frozenset(
    {"2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01"}
)


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What an operation works with. The store's lock is held while it runs."""

    call: Call
    store: VaultStore
    vault: Vault
    name: str
    version: str
    arguments: Mapping[str, Any]
    now: float

    def text(self, name: str) -> str:
        """Return a required string."""
        value = self.arguments.get(name)
        if not isinstance(value, str) or not value:
            raise bad_parameter(f"Property is missing or has no value: {name}")
        return value

    def decoded(self, name: str) -> bytes:
        """Return required bytes, sent as base64url."""
        try:
            return decode(self.text(name))
        except ValueError as exc:
            raise bad_parameter(f"Property has invalid value: {name}") from exc

    def optional_bytes(self, name: str) -> bytes:
        """Return bytes, none if they are absent."""
        return self.decoded(name) if self.arguments.get(name) else b""


def route(request: Request) -> tuple[str, str, str] | None:
    """Return operation, key name and version (or an empty string), or None."""
    for method, form, operation in _COMPILED:
        match = form.fullmatch(request.path) if method == request.method else None
        if match is not None:
            parts = match.groupdict()
            return operation, parts["name"], (parts.get("version") or "").lower()
    return None


def read_arguments(request: Request) -> Mapping[str, Any]:
    """Read the JSON object of the body, and check the version of the API.

    Raises:
        VaultError: BadParameter.
    """
    version = dict(request.query).get("api-version", "").removesuffix("-preview")
    if version not in API_VERSIONS:
        raise bad_parameter("The request URI has an invalid or no api-version.")
    if not request.body:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise bad_parameter("The content type is not application/json.")
    try:
        value = json.loads(request.body)
    except ValueError as exc:
        raise bad_parameter("The request body is no JSON.") from exc
    if not isinstance(value, dict):
        raise bad_parameter("The request body is no JSON object.")
    return value

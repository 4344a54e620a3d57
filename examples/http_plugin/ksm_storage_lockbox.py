"""The provider ``lockbox``: keys of a service that has an HTTP API and no SDK.

``POST /v1/keys/NAME/wrap`` takes ``{"plaintext", "aad"}`` and returns ``{"key", "ciphertext"}``;
``.../unwrap`` takes ``{"ciphertext", "aad"}`` and returns ``{"key", "plaintext"}``. Bytes are in
base64, the caller's token is a header, and an error is ``{"code": "..."}`` with an HTTP status.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from ksm_storage.plugin import (
    Aad,
    AuthenticationError,
    Call,
    Connection,
    DecryptionError,
    ErrorRule,
    HttpApi,
    KeyNames,
    KeyNotFoundError,
    KeyStateError,
    Option,
    PermissionDeniedError,
    ServiceClient,
    Settings,
    SettingsError,
    WrappedDek,
    error_for,
    hookimpl,
    rule_for_status,
    shown_code,
    standard_options,
    translating,
)

ALGORITHM = "LOCKBOX-AES-256-GCM"
NAMES = KeyNames(r"(?P<key>[a-z][a-z0-9-]{0,62})", noun="Lockbox key", hint="use lockbox://NAME")
RULES: Mapping[str, ErrorRule] = {
    "bad_token": ErrorRule(AuthenticationError, "Lockbox rejected the token", "renew the token"),
    "forbidden": ErrorRule(
        PermissionDeniedError,
        "not allowed to use {permission} on the key {key}",
        "grant {permission} to the token",
        permission="{permission}",
    ),
    "no_such_key": ErrorRule(KeyNotFoundError, "the key {key} was not found in {place}"),
    "disabled": ErrorRule(KeyStateError, "the key {key} is disabled"),
    "bad_ciphertext": ErrorRule(
        DecryptionError,
        "cannot decrypt the wrapped data key: another key, another context or altered data",
    ),
}


class LockboxKeyWrapper:
    """Wrap and unwrap under one key, with one request each."""

    binds_aad = True

    def __init__(self, key: str, token: str, connection: Connection) -> None:
        self._key = key
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._held = ServiceClient(
            lambda: HttpApi(str(connection.endpoint), connection), deadline=connection.deadline
        )

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the DEK."""
        return WrappedDek(self._key, ALGORITHM, self._ask("wrap", "plaintext", dek, aad))

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Decrypt the DEK, or raise DecryptionError."""
        if (wrapped.key_id, wrapped.algorithm) != (self._key, ALGORITHM):
            raise DecryptionError("the data key was wrapped by another key")
        return self._ask("unwrap", "ciphertext", wrapped.ciphertext, aad)

    def close(self) -> None:
        """Release the client."""
        self._held.close()

    def _ask(self, operation: str, given: str, value: bytes, aad: Aad) -> bytes:
        call = Call(operation, self._key, "Lockbox", f"keys.{operation}")
        body = json.dumps({given: _text(value), "aad": _text(bytes(aad))}).encode()
        path = f"/v1/keys/{self._key}/{operation}"
        with translating(lambda exc: error_for(exc, call)):
            reply = self._held.run(
                lambda api: api.send("POST", path, body=body, headers=self._headers)
            )
            answer = json.loads(reply.body)
            if reply.status != 200:
                rule = RULES.get(answer["code"]) or rule_for_status(reply.status)
                raise rule.error(call, detail=shown_code(answer["code"]))
            if answer["key"] != self._key:
                raise DecryptionError("Lockbox used another key")
            wanted = "ciphertext" if operation == "wrap" else "plaintext"
            return base64.b64decode(answer[wanted], validate=True)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@hookimpl
def key_wrapper_options() -> list[Option]:
    """Declare the standard options and the token."""
    return [*standard_options("Lockbox"), Option("token", "The caller's token.", secret=True)]


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> LockboxKeyWrapper:
    """Open the key wrapper of one key; nothing is called."""
    connection = Connection.from_settings(settings)
    if connection.endpoint is None:
        raise SettingsError("the setting 'endpoint' is missing", hint="set it to Lockbox's URL")
    return LockboxKeyWrapper(NAMES.parse(key_id).key, settings.required_text("token"), connection)

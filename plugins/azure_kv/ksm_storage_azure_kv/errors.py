"""Translate what the vault and the Azure client report, by one table each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ksm_storage.plugin import KsmStorageError, ThrottledError

from .client_failures import FOREIGN_CHALLENGE, UNREADABLE, refusal_for_failure
from .key_names import KeyName
from .refusal import Refusal
from .service_codes import (
    CODES,
    INNER_CODES,
    TOKEN_CODES,
    UNWRAP_REFUSED,
    WRAP_REFUSED,
    refusal_for_status,
)

REQUEST_ID = "x-ms-request-id"

_TOKEN_CODE = re.compile(r"AKV[0-9]{5}")
_WRAPPING = ("wrapKey", "encrypt")
_RECOVERING = ("unwrapKey", "decrypt")
# Operation -> last parts of the data action of a role.
_ACTIONS = {
    "wrapKey": "keys/wrap/action",
    "unwrapKey": "keys/unwrap/action",
    "encrypt": "keys/encrypt/action",
    "decrypt": "keys/decrypt/action",
    "get": "keys/read",
    "getrotationpolicy": "keyrotationpolicies/read",
}
# A managed HSM calls this action otherwise.
_HSM_ACTIONS = {**_ACTIONS, "get": "keys/read/action"}


class Call(NamedTuple):
    """Say which call failed: the operation, and the key as it was named."""

    operation: str
    key: KeyName

    @property
    def permission(self) -> str:
        """The data action of a role that permits the operation."""
        if self.key.is_hsm:
            return f"Microsoft.KeyVault/managedHsm/{_HSM_ACTIONS[self.operation]}"
        return f"Microsoft.KeyVault/vaults/{_ACTIONS[self.operation]}"


def translated_reply(response: Any, call: Call) -> KsmStorageError:
    """Return the documented error for a reply that is none of success, no text copied."""
    error = _error_object(response)
    refusal = _refusal(response.status_code, error, call)
    told = _told(refusal, call, request_id=response.headers.get(REQUEST_ID))
    if "ForbiddenByPolicy" in _inner_codes(error):
        # Access policies have names of their own for permissions.
        told.permission = f"keys/{call.operation}"
    retry_after = str(response.headers.get("Retry-After", ""))
    if isinstance(told, ThrottledError) and retry_after.isdigit():
        told.hint = f"try again in {retry_after} seconds, or spread the keys over several vaults"
    return told


def translated_failure(exc: Exception, call: Call) -> KsmStorageError:
    """Return the documented error for an exception of the Azure client without a reply."""
    # Its own check of the challenge is the only ValueError that a call raises.
    if isinstance(exc, ValueError):
        return _told(FOREIGN_CHALLENGE, call)
    return _told(refusal_for_failure(exc), call)


def unreadable_reply(call: Call, *, request_id: str | None = None) -> KsmStorageError:
    """Return the error for a reply that is cut off or has another form."""
    return _told(UNREADABLE, call, request_id=request_id)


def _refusal(status: int, error: Mapping[str, Any], call: Call) -> Refusal:
    if status == 400 and call.operation in (*_WRAPPING, *_RECOVERING):
        return UNWRAP_REFUSED if call.operation in _RECOVERING else WRAP_REFUSED
    for inner in _inner_codes(error):
        if inner in INNER_CODES:
            return INNER_CODES[inner]
    code = str(error.get("code", ""))
    number = _TOKEN_CODE.search(str(error.get("message", "")))
    if status == 401 and number is not None and number[0] in TOKEN_CODES:
        return TOKEN_CODES[number[0]]
    return CODES.get(code) or refusal_for_status(status)


def _error_object(response: Any) -> Mapping[str, Any]:
    # A proxy may answer in place of the vault, in whatever form.
    try:
        error = response.json()["error"]
    except (ValueError, LookupError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _inner_codes(error: Mapping[str, Any]) -> list[str]:
    codes: list[str] = []
    # The service writes "innererror"; older replies wrote "innerError".
    inner = error.get("innererror") or error.get("innerError")
    while isinstance(inner, dict) and len(codes) < 4:
        codes.append(str(inner.get("code", "")))
        inner = inner.get("innererror") or inner.get("innerError")
    return codes


def _told(refusal: Refusal, call: Call, *, request_id: str | None = None) -> KsmStorageError:
    return refusal.error(
        key=str(call.key),
        host=call.key.host,
        operation=call.operation,
        permission=call.permission,
        request_id=request_id,
    )

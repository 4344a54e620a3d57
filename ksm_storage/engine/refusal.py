"""What a server's refusal means: one class of error per thing to do about it."""

from __future__ import annotations

import json
import re
from typing import Any

from ..wire import api_errors
from .errors import (
    AccessExpiredError,
    AddressLockedError,
    BadSignatureError,
    ClientRevokedError,
    ClientUnknownError,
    ClientVersionError,
    ServerRefusedError,
    ServerUnreachableError,
    StaleRevisionError,
    TokenExpiredError,
    TokenRedeemedError,
)

_ASK_AGAIN = "ask for a new one-time token"
_MEANINGS: dict[api_errors.ApiError, tuple[type[ServerRefusedError], str, str]] = {
    api_errors.SIGNATURE_INVALID: (
        BadSignatureError,
        "the server does not accept the client device's signature",
        "the configuration was mixed up with another one; restore it, or bind again",
    ),
    api_errors.CLIENT_UNKNOWN: (
        ClientUnknownError,
        "the server does not know this client device or one-time token",
        f"check the region; if the device was removed, {_ASK_AGAIN}",
    ),
    api_errors.CLIENT_REVOKED: (
        ClientRevokedError,
        "the client device was revoked",
        _ASK_AGAIN,
    ),
    api_errors.TOKEN_EXPIRED: (TokenExpiredError, "the one-time token has expired", _ASK_AGAIN),
    api_errors.TOKEN_REDEEMED: (
        TokenRedeemedError,
        "the one-time token was redeemed already, with another key pair",
        f"if it was not you, revoke that client device; {_ASK_AGAIN}",
    ),
    api_errors.ACCESS_EXPIRED: (
        AccessExpiredError,
        "the access of this client device has expired",
        _ASK_AGAIN,
    ),
    api_errors.ADDRESS_REFUSED: (
        AddressLockedError,
        "the client device is locked to another address",
        "use it where it was bound, or bind a device without the address lock",
    ),
    api_errors.READ_ONLY: (
        ServerRefusedError,
        "the application may not edit this",
        "give the application edit rights on the shared folder or record",
    ),
    api_errors.REVISION_STALE: (
        StaleRevisionError,
        "the record was changed since it was read",
        "read it again, apply the change and save",
    ),
}
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def read_body(body: bytes) -> dict[str, Any]:
    """Return the JSON object of an error answer, an empty one if it is none."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def code_of(answer: dict[str, Any]) -> str | None:
    """Return the server's code, if it has the form of one."""
    code = answer.get("result_code") or answer.get("error")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def refusal_error(
    status: int, answer: dict[str, Any], *, operation: str
) -> ServerRefusedError | ServerUnreachableError:
    """Return the error for an answer that is neither 200 nor one to follow.

    The server's text decides the class and stays out of the message.
    """
    code = code_of(answer)
    if code == api_errors.INVALID_CLIENT_VERSION:
        return ClientVersionError(
            "the server does not speak with this version of the protocol",
            hint="update ksm-storage",
            operation=operation,
            status=status,
            server_code=code,
        )
    message = answer.get("message")
    known = api_errors.KNOWN.get((code, message)) if code and isinstance(message, str) else None
    if known in _MEANINGS:
        kind, text, hint = _MEANINGS[known]
        return kind(text, hint=hint, operation=operation, status=status, server_code=code)
    if status >= 500:
        return ServerUnreachableError(
            f"the server failed with status {status}", hint="try again later", operation=operation
        )
    return ServerRefusedError(
        f"the server refused {operation!r} with status {status}" + (f", {code!r}" if code else ""),
        operation=operation,
        status=status,
        server_code=code,
    )

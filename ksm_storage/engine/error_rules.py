"""What a server's error means: one class of exception for each thing to do about it.

The code decides first, words of the message second: the messages differ between versions of the
service. The server's own text is always passed on, made printable and cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import VaultError
from ..wire import api_errors
from ..wire.json_objects import parse_object
from . import late_errors as errors

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_MESSAGE_CHARACTERS = 200
_NEW_TOKEN = "get a new one-time token from the vault"  # noqa: S105 - advice, not a token


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """Say which error a message stands for.

    Attributes:
        words: Found in the message, in any case; the first rule that matches decides.
        kind: The name of the error class.
        text: Our message.
        hint: What to do about it.
    """

    words: re.Pattern[str]
    kind: str
    text: str
    hint: str


def _rule(words: str, kind: str, text: str, hint: str) -> ErrorRule:
    return ErrorRule(re.compile(words, re.IGNORECASE), kind, text, hint)


_ACCESS_DENIED = (
    _rule(
        r"signature",
        "BadSignatureError",
        "the server rejected the client device's signature",
        "restore the configuration or bind again: its key pair belongs to another device",
    ),
    _rule(
        r"locked to|(different|another|wrong|other) (ip|address)|ip address",
        "AddressLockedError",
        "the client device is locked to another IP address",
        "use it where it was bound, or bind a device without the address lock",
    ),
    _rule(
        r"token.*expired|expired.*token",
        "TokenExpiredError",
        "the one-time token has expired",
        _NEW_TOKEN,
    ),
    _rule(
        r"redeemed|token.*already|already.*(used|bound)",
        "TokenRedeemedError",
        "the one-time token was already redeemed with another key pair",
        f"if that was not you, revoke that client device; {_NEW_TOKEN}",
    ),
    _rule(
        r"expired",
        "AccessExpiredError",
        "the access of this client device has expired",
        _NEW_TOKEN,
    ),
    _rule(
        r"revoked|removed|deleted|disabled",
        "ClientRevokedError",
        "the client device was revoked",
        _NEW_TOKEN,
    ),
    _rule(
        r"\bedit\b|read.?only|update|permission",
        "ServerRefusedError",
        "the application may not edit this",
        "give the application edit permission on the shared folder or record",
    ),
    _rule(
        r"unable to validate|unknown|not found|not registered|invalid (client|application)",
        "ClientUnknownError",
        "the server does not know this client device or one-time token",
        f"check the region; if the device was removed, {_NEW_TOKEN}",
    ),
    _rule(
        r"",
        "ServerRefusedError",
        "the server denied access",
        "check the client device and its access in the vault",
    ),
)
_RULES: dict[str, tuple[ErrorRule, ...]] = {
    api_errors.ACCESS_DENIED: _ACCESS_DENIED,
    api_errors.INVALID_CLIENT_VERSION: (
        _rule(
            r"",
            "ClientVersionError",
            "the server does not support this version of the protocol",
            "update ksm-storage",
        ),
    ),
    api_errors.OUT_OF_SYNC: (
        # An open transaction has the same code and is nothing that reading again would cure.
        _rule(
            r"transaction",
            "ServerRefusedError",
            "the record has an open transaction",
            "complete or roll back the transaction, then retry",
        ),
        _rule(
            r"",
            "StaleRevisionError",
            "the record was changed since it was read",
            "read the record again, apply the change and save",
        ),
    ),
}


def read_body(body: bytes) -> dict[str, Any]:
    """Return the JSON object of an error answer, an empty one for anything else."""
    try:
        return parse_object(body)
    except ValueError:
        return {}


def code_of(answer: Mapping[str, Any]) -> str | None:
    """Return the server's code, if it has the form of one."""
    code = answer.get("result_code") or answer.get("error")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def error_for(status: int, body: bytes, *, operation: str) -> VaultError:
    """Return the exception for an answer that is neither 200 nor one to follow."""
    answer = read_body(body)
    code = code_of(answer)
    # A proxy in front of the service says it in text or a page.
    said = _printable(_message_of(answer) if answer else body.decode(errors="replace"))
    if status >= 500:
        return errors.ServerFailedError(
            f"the server failed with HTTP status {status}{_quoted(code, said)}",
            hint="retry later; if it persists, check the service's status page",
            operation=operation,
        )
    details: dict[str, Any] = {
        "operation": operation,
        "status": status,
        "server_code": code,
        "server_message": said,
    }
    if code is None:
        return errors.UnexpectedStatusError(
            f"the server refused {operation!r} with HTTP status {status}{_quoted(code, said)}",
            hint="check the proxy between this host and the server, and the hostname",
            **details,
        )
    for rule in _RULES.get(code, ()):
        if rule.words.search(said or ""):
            kind = getattr(errors, rule.kind)
            made: VaultError = kind(rule.text + _quoted(code, said), hint=rule.hint, **details)
            return made
    return errors.ServerRefusedError(
        f"the server refused {operation!r} with HTTP status {status}{_quoted(code, said)}",
        **details,
    )


def _message_of(answer: Mapping[str, Any]) -> object:
    # A refused version says in additional_info which version it was.
    return answer.get("message") or answer.get("additional_info")


def _printable(said: object) -> str | None:
    if not isinstance(said, str):
        return None
    printable = "".join(c if c.isprintable() else " " for c in said[:_MAX_MESSAGE_CHARACTERS])
    return printable.strip() or None


def _quoted(code: str | None, said: str | None) -> str:
    # In the form of the official package's errors, in which programs look for words.
    if code is None:
        return f", Message: {said}" if said else ""
    return f" (Error: {code}, message={said or 'NA'})"

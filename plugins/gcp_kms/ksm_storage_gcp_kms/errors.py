"""Translate what Cloud KMS and its client report, none of its text copied."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ksm_storage.plugin import KsmStorageError

from .refusal import Refusal
from .service_codes import (
    CODES,
    DAMAGED_REQUEST,
    OTHER,
    REASONS,
    STATES,
    UNDECRYPTABLE,
    UNTRUSTED_CERTIFICATE,
)

# The permission of each call. Source: Cloud KMS documentation, "Permissions and roles".
_PERMISSIONS = {
    "encrypt": "cloudkms.cryptoKeyVersions.useToEncrypt",
    "raw_encrypt": "cloudkms.cryptoKeyVersions.useToEncrypt",
    "get_public_key": "cloudkms.cryptoKeyVersions.viewPublicKey",
    "decrypt": "cloudkms.cryptoKeyVersions.useToDecrypt",
    "raw_decrypt": "cloudkms.cryptoKeyVersions.useToDecrypt",
    "asymmetric_decrypt": "cloudkms.cryptoKeyVersions.useToDecrypt",
    "get_crypto_key": "cloudkms.cryptoKeys.get",
    "get_crypto_key_version": "cloudkms.cryptoKeyVersions.get",
}
_PERMISSION = re.compile(r"[A-Za-z.]{1,100}")
_STATE = re.compile(r"current state is: ([A-Z_]{1,40})")


class Call(NamedTuple):
    """Say which call failed: the client's method, and the key as it was named."""

    method: str
    key: str


def translated(exc: Exception, call: Call) -> KsmStorageError:
    """Return the documented error for an exception of the client."""
    exc = _innermost(exc)
    return _refusal_of(exc, call).error(
        key=call.key, permission=_permission(exc, call), request_id=_request_id(exc)
    )


def code_of(exc: Exception) -> str:
    """Return the name of the gRPC code, or an empty string where the failure has none."""
    code = getattr(exc, "grpc_status_code", None)
    return str(getattr(code, "name", ""))


def is_untrusted_certificate(exc: Exception) -> bool:
    """Tell whether the server's certificate is what failed; gRPC has no code for it."""
    text = str(exc)
    return code_of(exc) == "UNAVAILABLE" and "CERTIFICATE_VERIFY_FAILED" in text


def retry_delay(exc: Exception) -> float:
    """Return how many seconds the service asks to wait, 0 where it does not."""
    for detail in _details(exc):
        delay = getattr(detail, "retry_delay", None)
        if delay is not None:
            return float(delay.seconds + delay.nanos / 1e9)
    return 0.0


def _innermost(exc: Exception) -> Exception:
    # At the deadline, the client wraps the last failure.
    cause = getattr(exc, "cause", None)
    return cause if isinstance(cause, Exception) else exc


def _refusal_of(exc: Exception, call: Call) -> Refusal:
    if is_untrusted_certificate(exc):
        return UNTRUSTED_CERTIFICATE
    code, reason = code_of(exc), str(getattr(exc, "reason", None))
    if reason in REASONS:
        return REASONS[reason]
    if code == "FAILED_PRECONDITION":
        return STATES.get(_state(exc), CODES[code])
    if code == "INVALID_ARGUMENT" and "crc32c" in str(exc):
        return DAMAGED_REQUEST
    if code == "INVALID_ARGUMENT" and call.method.endswith("decrypt"):
        return UNDECRYPTABLE
    return CODES.get(code, OTHER)


def _state(exc: Exception) -> str:
    for detail in _details(exc):
        for violation in getattr(detail, "violations", ()):
            kind = str(getattr(violation, "type", ""))
            if kind.removeprefix("KEY_") in STATES:
                return kind.removeprefix("KEY_")
    match = _STATE.search(str(exc))
    return "" if match is None else match[1]


def _permission(exc: Exception, call: Call) -> str | None:
    metadata: Any = getattr(exc, "metadata", None) or {}
    named = str(metadata.get("permission", ""))
    if _PERMISSION.fullmatch(named):
        return named
    return _PERMISSIONS.get(call.method)


def _request_id(exc: Exception) -> str | None:
    for detail in _details(exc):
        request_id = getattr(detail, "request_id", None)
        if isinstance(request_id, str) and request_id:
            return request_id
    return None


def _details(exc: Exception) -> Iterator[Any]:
    details = getattr(exc, "details", None)
    yield from details if isinstance(details, (list, tuple)) else ()

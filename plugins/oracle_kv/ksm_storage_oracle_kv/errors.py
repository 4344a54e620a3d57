"""Translate what the service and Oracle's client report, by one table each."""

from __future__ import annotations

import configparser
import re
from typing import Any

from ksm_storage.plugin import AuthenticationError, KsmStorageError, UnavailableError, chain_of

from .client_failures import UNREADABLE_FILE, refusal_of
from .refusal import Call
from .service_codes import INVALID_PARAMETER, NOT_ACCEPTED, SERVICE_CODES, refusal_for_status

# What the client lets through raw: a reply that is no JSON object, or has another encoding.
UNREADABLE: tuple[type[Exception], ...] = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)

_CODE = re.compile(r"[A-Za-z0-9]{1,64}")


def translated(exc: Exception, call: Call) -> KsmStorageError | None:
    """Return the documented error for a failed call, or None for an unknown exception."""
    service_error = _service_error(exc)
    if service_error is not None:
        return _from_reply(service_error, call)
    row = refusal_of(exc)
    return None if row is None else row.error(call)


def credential_error(exc: Exception, kind: str, call: Call) -> KsmStorageError:
    """Return the error for credentials that could not be obtained."""
    service_error = _service_error(exc)
    if service_error is not None and (service_error.status >= 500 or service_error.status == 429):
        return _from_reply(service_error, call)
    row = None if service_error is not None else refusal_of(exc)
    if row is UNREADABLE_FILE and kind not in _FROM_FILES:
        # The client says so of variables that are not set.
        row = None
    if row is not None and not row.kind.retryable:
        return row.error(call)
    return AuthenticationError(
        f"no credentials of the kind {kind!r} could be obtained ({type(exc).__name__})",
        hint=_ADVICE.get(kind, "see the option 'credential'"),
        request_id=_request_id(service_error),
    )


def repeats_a_file(exc: BaseException) -> bool:
    """Tell whether the exception shows what stands in a file: a line, or all of it."""
    return any(isinstance(link, (configparser.Error, UnicodeError)) for link in chain_of(exc))


def unreadable(name: str, call: Call) -> UnavailableError:
    """Return the error for a reply that the client could not read."""
    return UnavailableError(
        f"the reply of the vault to {call.operation} cannot be read ({name}): it was cut off or "
        "altered on its way",
        hint="try again; if it stays, look at the proxies between here and the vault",
    )


def forget_bodies(exc: BaseException) -> None:
    """Take the bodies off an exception that becomes our cause: they may hold the DEK.

    That of a wrap's request does, and that of a reply may whose status was altered on its way.
    """
    from oci.exceptions import ServiceError

    for link in chain_of(exc):
        if isinstance(link, ServiceError) and link.args and isinstance(link.args[0], dict):
            link.args = ({name: link.args[0].get(name) for name in _TOLD},)
        for name in ("request", "original_request", "response"):
            if getattr(link, name, None) is not None:
                setattr(link, name, None)


def _service_error(exc: Exception) -> Any:
    from oci.exceptions import ServiceError

    return next((link for link in chain_of(exc) if isinstance(link, ServiceError)), None)


def _from_reply(exc: Any, call: Call) -> KsmStorageError:
    code = str(exc.code)
    request_id = _request_id(exc)
    if code == INVALID_PARAMETER and exc.status == 400:
        return NOT_ACCEPTED[call.operation].error(call, request_id=request_id)
    row = SERVICE_CODES.get(code)
    if row is None:
        shown = code if _CODE.fullmatch(code) else "an unknown code"
        row = refusal_for_status(int(exc.status), shown)
    return row.error(call, request_id=request_id)


def _request_id(exc: Any) -> str | None:
    value = getattr(exc, "request_id", None)
    return value if isinstance(value, str) else None


_TOLD = ("status", "code", "message", "opc-request-id", "operation_name", "request_endpoint")
_FROM_FILES = ("config-file", "security-token")
_ADVICE = {
    "config-file": "check the profile in Oracle's configuration file and the file of its key",
    "security-token": "'oci session authenticate' or 'oci session refresh' gets a new token",
    "instance-principal": "it works on an OCI compute instance; elsewhere choose another "
    "'credential'; 'credential_timeout' is how long is waited",
    "resource-principal": "it works where OCI sets OCI_RESOURCE_PRINCIPAL_VERSION, as in functions",
    "oke-workload": "it works in a pod of an enhanced OKE cluster, with a service account",
}

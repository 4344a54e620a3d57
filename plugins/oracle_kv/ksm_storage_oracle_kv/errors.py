"""What a vault and Oracle's client report, and what it means.

Sources: OCI documentation, "API Errors" (Content/API/References/apierrors.htm); ``oci.exceptions``.
The page of errors is about all services; what the crypto endpoint of a vault answers in two cases
is assumed from it, and the page docs/plugins/oracle-kv.md says so: 409 for a key that is disabled,
and 400 InvalidParameter for a ciphertext that does not decrypt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ksm_storage import plugin as kit

_DENIED = kit.ErrorRule(
    kit.PermissionDeniedError,
    "not allowed to use {permission} on the key {key}, or the key does not exist at {place}",
    "the service does not tell the two apart: check the key's OCID and the endpoint, then the "
    "policies",
    permission="{permission}",
)
_FORBIDDEN = kit.ErrorRule(
    kit.PermissionDeniedError,
    "not allowed to use {permission} on the key {key}",
    "check the policies of the tenancy",
    permission="{permission}",
)
_MALFORMED = kit.ErrorRule(
    kit.ProviderError,
    "{place} rejected the request for the key {key} as malformed",
    "check the option 'endpoint', and the proxy between this host and the vault",
)
_STATE = kit.ErrorRule(
    kit.KeyStateError,
    "the key {key} or its version cannot be used in its current state: disabled, being changed, "
    "or pending deletion",
    "check its state in the vault; enable the key, or cancel its deletion while it is pending",
)
_LIMIT = kit.ErrorRule(
    kit.ProviderError,
    "a limit or quota of the tenancy is used up",
    "check the limits and quotas of the tenancy",
)
_WRONG_ENDPOINT = kit.ErrorRule(
    kit.ProviderError,
    "{place} does not support the operation {operation}",
    "the option 'endpoint' must name the vault's crypto endpoint, not its management endpoint",
)
_THROTTLED = kit.ErrorRule(
    kit.ThrottledError,
    "the vault is throttling requests: a limit of the tenancy is reached",
    "retry later, or request a higher limit",
)
_NOT_ENCRYPTED = kit.ErrorRule(
    kit.ProviderError,
    "{place} rejected a parameter: the key {key} does not match the option 'algorithm', or the "
    "context is too long",
    "for an RSA key set the option 'algorithm' to RSA_OAEP_SHA_256; signing keys cannot wrap",
)
_NOT_DECRYPTED = kit.ErrorRule(
    kit.DecryptionError,
    "cannot decrypt the wrapped data key: another key or version, another context or altered data",
    "the service does not tell these apart; restore the file from a backup, or open it with the "
    "key that sealed it",
)
_NOT_SIGNED = kit.ErrorRule(
    kit.KeyStateError,
    "the key {key} cannot sign with ECDSA_SHA_256",
    "a device key must have the shape ECDSA and the curve NIST_P256",
)

# What differs by operation stands beside the table.
NOT_ACCEPTED: Mapping[str, kit.ErrorRule] = {
    "encrypt": _NOT_ENCRYPTED,
    "decrypt": _NOT_DECRYPTED,
    "sign": _NOT_SIGNED,
    "get_key": _MALFORMED,
    "get_key_version": _MALFORMED,
}
INVALID_PARAMETER = "InvalidParameter"

SERVICE_CODES: Mapping[str, kit.ErrorRule] = {
    # 400
    "CannotParseRequest": _MALFORMED,
    "MissingParameter": _MALFORMED,
    "LimitExceeded": _LIMIT,
    "QuotaExceeded": _LIMIT,
    # The key stands in the body of the request.
    "RelatedResourceNotAuthorizedOrNotFound": _DENIED,
    # 401, 402
    "NotAuthenticated": kit.ErrorRule(
        kit.AuthenticationError,
        "{place} rejected the signature of the request",
        "the API key was deleted or belongs to another user (check fingerprint and user in the "
        "profile), the token expired (run: oci session "
        "authenticate), or the clock of this host is off by more than 5 minutes",
    ),
    "SignUpRequired": kit.ErrorRule(
        kit.PermissionDeniedError,
        "the tenancy is not signed up for the service",
        "sign up, or subscribe the tenancy to the region",
    ),
    # 403
    "NotAllowed": _FORBIDDEN,
    "NotAuthorized": _FORBIDDEN,
    # 404, 405
    "NotAuthorizedOrNotFound": _DENIED,
    "NamespaceNotFound": _DENIED,
    "NotFound": _WRONG_ENDPOINT,
    "MethodNotAllowed": _WRONG_ENDPOINT,
    # 409
    "IncorrectState": _STATE,
    "Conflict": _STATE,
    "LockConflict": _STATE,
    "ExternalServerIncorrectState": kit.ErrorRule(
        kit.UnavailableError,
        "the external key manager of the key {key} does not answer correctly",
        "check the external key manager, then retry",
    ),
    # 413, 422, 431
    "RequestEntityTooLarge": _MALFORMED,
    "PayloadTooLarge": _MALFORMED,
    "UnprocessableEntity": _MALFORMED,
    "RequestHeaderFieldsTooLarge": _MALFORMED,
    # 429
    "TooManyRequests": _THROTTLED,
    # 501; the others of 5xx are known by their status
    "MethodNotImplemented": _WRONG_ENDPOINT,
}


# More telling names first: an exception of the client holds others.
CLIENT_FAILURES: Mapping[str, kit.ErrorRule] = {
    "InvalidDeveloperToolConfiguration": kit.ErrorRule(
        kit.SettingsError,
        "the developer tool configuration of Oracle's client disables the service",
        "check OCI_SDK_ENABLED_SERVICES_SET and the developer tool configuration",
    ),
    **kit.NETWORK_RULES,
    # What is left of these is about files; those of the network are named above.
    "OSError": kit.UNREADABLE_FILE,
}

_TOLD = ("status", "code", "message", "opc-request-id", "operation_name", "request_endpoint")


def translated(exc: Exception, call: kit.Call) -> kit.KsmStorageError:
    """Return the documented error for a failed call, none of the client's text copied."""
    service_error = service_error_in(exc)
    if service_error is not None:
        return from_reply(service_error, call)
    rule = kit.rule_for_failure(exc, CLIENT_FAILURES)
    if rule is None:
        return kit.unreadable_reply(call)
    return rule.error(call)


def is_final(exc: BaseException) -> bool:
    """Tell whether the same attempt would fail in the same way."""
    rule = kit.rule_for_failure(exc, CLIENT_FAILURES)
    return kit.is_final_failure(exc) or (rule is not None and not rule.kind.retryable)


def service_error_in(exc: Exception) -> Any:
    """Return the refusal of the service in the chain of an exception, without bodies, or None."""
    from oci.exceptions import ServiceError

    found = None
    for link in kit.chain_of(exc):
        if isinstance(link, ServiceError):
            found = found or link
            if link.args and isinstance(link.args[0], dict):
                # The body of a request to wrap holds the DEK, and so may that of a reply whose
                # status was altered on its way.
                link.args = ({name: link.args[0].get(name) for name in _TOLD},)
    return found


def from_reply(exc: Any, call: kit.Call) -> kit.KsmStorageError:
    """Return the documented error for a refusal of the service."""
    code, status = str(exc.code), int(exc.status)
    rule = SERVICE_CODES.get(code)
    if code == INVALID_PARAMETER and status == 400:
        rule = NOT_ACCEPTED.get(call.operation, rule)
    if rule is None:
        rule = SERVICE_CODES["NotAuthenticated"] if status == 401 else kit.rule_for_status(status)
    detail = f"{kit.shown_code(code)}, status {status}"
    return rule.error(call, request_id=request_id_of(exc), detail=detail)


def request_id_of(exc: Any) -> str | None:
    """Return the request id that the service gave to a refusal, if it did."""
    value = getattr(exc, "request_id", None)
    return value if isinstance(value, str) else None

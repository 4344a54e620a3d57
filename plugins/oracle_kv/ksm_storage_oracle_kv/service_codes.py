"""What each error code of the service means, by HTTP status and code.

Source: OCI documentation, "API Errors" (Content/API/References/apierrors.htm). The page is about
all services; what the crypto endpoint of a vault answers in two cases is assumed from it, and the
page docs/plugins/oracle-kv.md says so: 409 for a key that is disabled, and 400 InvalidParameter
for a ciphertext that does not decrypt.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksm_storage.plugin import (
    AuthenticationError,
    DecryptionError,
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    ThrottledError,
    UnavailableError,
)

from .refusal import Refusal

_DENIED = Refusal(
    PermissionDeniedError,
    "the caller may not use the key {key}, or there is no such key at {endpoint}",
    "the service does not tell the two apart: check the key's OCID and the endpoint, then the "
    "policies, which must grant {permission} on the key",
    about_permission=True,
)
_FORBIDDEN = Refusal(
    PermissionDeniedError,
    "the caller may not do this with the key {key}",
    "check the policies, which must grant {permission} on the key",
    about_permission=True,
)
_MALFORMED = Refusal(
    ProviderError,
    "the service does not accept the form of the request for the key {key}",
    "look at the option 'endpoint', and at the proxies between here and the vault",
)
_STATE = Refusal(
    KeyStateError,
    "the key {key} is in a state that forbids its use: disabled, being changed, pending deletion, "
    "or the version is",
    "look at its state in the vault; enable the key, or cancel its deletion while it is pending",
)
_LIMIT = Refusal(
    ProviderError,
    "the tenancy has used up a limit or a quota of the vault",
    "look at the limits and quotas of the tenancy",
)
_WRONG_ENDPOINT = Refusal(
    ProviderError,
    "there is no such operation at {endpoint}",
    "the option 'endpoint' must name the vault's crypto endpoint, not its management endpoint",
)
_THROTTLED = Refusal(
    ThrottledError,
    "the vault is asked for more than the limits of the tenancy allow",
    "try again later, or ask for a higher limit",
)
_FAILING = Refusal(UnavailableError, "the service failed on its side", "try again later")

_NOT_ENCRYPTED = Refusal(
    ProviderError,
    "the service does not accept a parameter: the key {key} may be of another kind than the "
    "option 'algorithm' says, or the context too long",
    "for an RSA key set the option 'algorithm' to RSA_OAEP_SHA_256; keys that sign cannot wrap",
)
_NOT_DECRYPTED = Refusal(
    DecryptionError,
    "the wrapped DEK does not decrypt: another key or version, another context or altered data",
    "restore the file from a backup, or open it with the key that sealed it; the service does not "
    "tell the causes apart",
)

# What differs by operation stands beside the table.
NOT_ACCEPTED: Mapping[str, Refusal] = {
    "encrypt": _NOT_ENCRYPTED,
    "decrypt": _NOT_DECRYPTED,
    "get_key": _MALFORMED,
    "get_key_version": _MALFORMED,
}
INVALID_PARAMETER = "InvalidParameter"

SERVICE_CODES: Mapping[str, Refusal] = {
    # 400
    "CannotParseRequest": _MALFORMED,
    "MissingParameter": _MALFORMED,
    "LimitExceeded": _LIMIT,
    "QuotaExceeded": _LIMIT,
    # The key stands in the body of the request.
    "RelatedResourceNotAuthorizedOrNotFound": _DENIED,
    # 401, 402
    "NotAuthenticated": Refusal(
        AuthenticationError,
        "the service does not accept the signature of the request",
        "the API key may be deleted or of another user, the token expired (oci session "
        "authenticate), or the clock of this machine off by more than 5 minutes",
    ),
    "SignUpRequired": Refusal(
        PermissionDeniedError,
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
    "ExternalServerIncorrectState": Refusal(
        UnavailableError,
        "the external key manager behind the key {key} does not answer, or not correctly",
        "look at the external key manager, then try again",
    ),
    # 413, 422, 431
    "RequestEntityTooLarge": _MALFORMED,
    "PayloadTooLarge": _MALFORMED,
    "UnprocessableEntity": _MALFORMED,
    "RequestHeaderFieldsTooLarge": _MALFORMED,
    # 429
    "TooManyRequests": _THROTTLED,
    # 5xx
    "InternalServerError": _FAILING,
    "MethodNotImplemented": _WRONG_ENDPOINT,
    "ServiceUnavailable": _FAILING,
}


def refusal_for_status(status: int, shown: str) -> Refusal:
    """Return the row for a code that is in no table."""
    if status == 429:
        return _THROTTLED
    if status >= 500:
        return Refusal(UnavailableError, f"the service failed with status {status}", "try again")
    if status == 401:
        return SERVICE_CODES["NotAuthenticated"]
    return Refusal(ProviderError, f"the service refused with {shown} (status {status})")

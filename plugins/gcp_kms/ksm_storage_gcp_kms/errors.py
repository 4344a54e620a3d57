"""What Cloud KMS, the credentials library and the gRPC client report, and what it means.

Sources: google.rpc.Code; google.api.ErrorReason; Cloud KMS documentation, "Key version states",
"Quotas", "Data integrity guidelines", "Permissions and roles"; google-auth,
``google.auth.exceptions``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ksm_storage import plugin as kit

from .credential_files import is_federated
from .hooks import IMPERSONATION, METADATA, Access

DECRYPT = "cloudkms.cryptoKeyVersions.useToDecrypt"
ENCRYPT = "cloudkms.cryptoKeyVersions.useToEncrypt"
VIEW_PUBLIC_KEY = "cloudkms.cryptoKeyVersions.viewPublicKey"
SIGN = "cloudkms.cryptoKeyVersions.useToSign"
GET_KEY = "cloudkms.cryptoKeys.get"
CREATE_KEY = "cloudkms.cryptoKeys.create"
GET_VERSION = "cloudkms.cryptoKeyVersions.get"

_PERMISSIONS = {
    "encrypt": ENCRYPT,
    "raw_encrypt": ENCRYPT,
    "get_public_key": VIEW_PUBLIC_KEY,
    "decrypt": DECRYPT,
    "raw_decrypt": DECRYPT,
    "asymmetric_decrypt": DECRYPT,
    "asymmetric_sign": SIGN,
    "get_crypto_key": GET_KEY,
    "create_crypto_key": CREATE_KEY,
    "get_crypto_key_version": GET_VERSION,
}
_PERMISSION = re.compile(r"[A-Za-z.]{1,100}")
# gRPC resolves names in its own library.
_UNRESOLVED = re.compile(r"DNS resolution failed for ([A-Za-z0-9._-]{1,253})")
_STATE = re.compile(r"current state is: ([A-Z_]{1,40})")

_BAD_TOKEN = kit.ErrorRule(
    kit.AuthenticationError,
    "Google rejected the credentials of the call",
    "check where the credentials come from (for your own: gcloud auth application-default login), "
    "whether the account or its key was deleted, and the clock of this host",
)
_THROTTLED = kit.ErrorRule(
    kit.ThrottledError,
    "Cloud KMS is throttling requests: the project's quota is used up",
    "retry later, or request a higher quota for cryptographic requests",
)
_DENIED = kit.ErrorRule(
    kit.PermissionDeniedError,
    "not allowed to use {permission} on the key {key}, or the key does not exist",
    "Google does not tell the two apart: check the key's name, then the roles on the key",
    permission="{permission}",
)

# By google.rpc.ErrorInfo, which says more than the code.
REASONS: Mapping[str, kit.ErrorRule] = {
    "CREDENTIALS_MISSING": kit.ErrorRule(
        kit.AuthenticationError,
        "the call reached Google without credentials",
        "check that no proxy removes the header 'authorization'",
    ),
    "ACCESS_TOKEN_EXPIRED": kit.ErrorRule(
        kit.AuthenticationError,
        "the access token has expired",
        "get new credentials, and check the clock of this host",
    ),
    "ACCESS_TOKEN_TYPE_UNSUPPORTED": _BAD_TOKEN,
    "ACCOUNT_STATE_INVALID": kit.ErrorRule(
        kit.AuthenticationError,
        "the calling account is disabled or deleted",
        "see it with: gcloud iam service-accounts describe EMAIL",
    ),
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": kit.ErrorRule(
        kit.PermissionDeniedError,
        "the access token lacks the scope for Cloud KMS",
        "give the instance or the node pool the scope cloud-platform or cloudkms",
    ),
    "IAM_PERMISSION_DENIED": _DENIED,
    "USER_PROJECT_DENIED": kit.ErrorRule(
        kit.PermissionDeniedError,
        "not allowed to use serviceusage.services.use on the quota project",
        "grant roles/serviceusage.serviceUsageConsumer on that project, or check the option "
        "'quota_project'",
        permission="serviceusage.services.use",
    ),
    "SECURITY_POLICY_VIOLATED": kit.ErrorRule(
        kit.PermissionDeniedError,
        "a service perimeter or an organization policy forbids the use of the key {key}",
        "ask the administrator of VPC Service Controls",
    ),
    "SERVICE_DISABLED": kit.ErrorRule(
        kit.ProviderError,
        "Cloud KMS is not enabled in the project",
        "enable it: gcloud services enable cloudkms.googleapis.com",
    ),
    "BILLING_DISABLED": kit.ErrorRule(
        kit.ProviderError,
        "billing is disabled for the project",
        "link a billing account to the project",
    ),
    "CONSUMER_INVALID": kit.ErrorRule(
        kit.ProviderError,
        "unknown project for the quota of the call",
        "check the project in the key's name and the option 'quota_project'",
    ),
    "RATE_LIMIT_EXCEEDED": _THROTTLED,
}

# By google.rpc.PreconditionFailure: the type without "KEY_" is the state of the version.
STATES: Mapping[str, kit.ErrorRule] = kit.error_rules(
    kit.KeyStateError,
    {
        "DISABLED": (
            "the version of the key {key} is disabled",
            "enable it: gcloud kms keys versions enable N --key=... --keyring=... --location=...",
        ),
        "DESTROY_SCHEDULED": (
            "the version of the key {key} is scheduled for destruction",
            "to keep it: gcloud kms keys versions restore N ..., then enable it",
        ),
        "DESTROYED": (
            "the version of the key {key} is destroyed",
            "what it wrapped cannot be decrypted any more; use another recipient of the file, or "
            "a backup",
        ),
        "PENDING_GENERATION": (
            "the version of the key {key} is still being generated",
            "retry later",
        ),
        "PENDING_IMPORT": ("the version of the key {key} is still being imported", "retry later"),
        "IMPORT_FAILED": (
            "the import of the version of the key {key} failed",
            "see it with: gcloud kms keys versions describe N ...",
        ),
        "GENERATION_FAILED": (
            "the generation of the version of the key {key} failed",
            "see it with: gcloud kms keys versions describe N ...",
        ),
    },
)

CODES: Mapping[str, kit.ErrorRule] = {
    "UNAUTHENTICATED": _BAD_TOKEN,
    "PERMISSION_DENIED": _DENIED,
    "NOT_FOUND": kit.ErrorRule(
        kit.KeyNotFoundError,
        "the key {key} was not found",
        "check the project, the location, the key ring, the key and the version",
    ),
    "ALREADY_EXISTS": kit.ErrorRule(
        kit.KeyStateError,
        "the key {key} already exists",
        "leave out --create-device-key to use it, or name another key",
    ),
    "FAILED_PRECONDITION": kit.ErrorRule(
        kit.KeyStateError,
        "the key {key} cannot be used in its current state, has no primary version, or has "
        "another purpose",
        "see it with: gcloud kms keys describe KEY ...; check the option 'purpose'",
    ),
    "INVALID_ARGUMENT": kit.ErrorRule(
        kit.KeyStateError,
        "the key {key} does not support the operation: another purpose, or another algorithm",
        "check the option 'purpose'; raw keys must be AES-GCM",
    ),
    "RESOURCE_EXHAUSTED": _THROTTLED,
    "UNAVAILABLE": kit.NETWORK_RULES["ConnectionError"],
    "DEADLINE_EXCEEDED": kit.NETWORK_RULES["TimeoutError"],
    **dict.fromkeys(
        ("INTERNAL", "UNKNOWN", "ABORTED", "CANCELLED", "DATA_LOSS"), kit.rule_for_status(500)
    ),
    "UNIMPLEMENTED": kit.ErrorRule(
        kit.ProviderError,
        "the endpoint does not support this operation of Cloud KMS",
        "check the option 'endpoint': an emulator or a proxy may not support all of Cloud KMS",
    ),
}

# INVALID_ARGUMENT, where the call was to decrypt.
UNDECRYPTABLE = kit.ErrorRule(
    kit.DecryptionError,
    "cannot decrypt the wrapped data key under {key}: another key, another context or altered data",
    "Cloud KMS does not tell these apart; restore the file from a backup",
)
# INVALID_ARGUMENT about a checksum: the request was damaged on its way.
DAMAGED_REQUEST = kit.ErrorRule(
    kit.UnavailableError,
    "the request was altered in transit to Cloud KMS",
    "retry; if it persists, check the proxy between this host and Cloud KMS",
)
OTHER = kit.ErrorRule(
    kit.ProviderError,
    "Cloud KMS rejected the call for the key {key}",
    "check the key's name; an emulator or a proxy may not support all of Cloud KMS",
)

_UNREADABLE_CREDENTIALS = kit.ErrorRule(
    kit.SettingsError,
    "cannot use the Google credentials file",
    "it must be the JSON file that Google issues, of the kind that the option 'credential' names; "
    "check 'credentials_file' and GOOGLE_APPLICATION_CREDENTIALS",
)
_NOT_FEDERATED = kit.ErrorRule(
    kit.AuthenticationError,
    "cannot obtain the federated token, or exchange it for Google credentials",
    "check credential_source with its executable, audience and token_url in the credentials file, "
    "and the proxy between this host and the identity provider",
)
_UNREACHABLE_CREDENTIALS = kit.ErrorRule(
    kit.UnavailableError,
    "cannot reach the service that issues the Google credentials",
    "check the network, {proxy} and the option 'credential'",
)
_NAMES = {name: kit.NETWORK_RULES[name] for name in ("NameResolutionError", "gaierror")}
_SIGN_IN_AGAIN = "gcloud auth application-default login"
MAY_NOT_IMPERSONATE = kit.ErrorRule(
    kit.PermissionDeniedError,
    "not allowed to use {permission} on the service account to impersonate, or it does not exist",
    "grant the caller roles/iam.serviceAccountTokenCreator on the account",
    permission="iam.serviceAccounts.getAccessToken",
)
CREDENTIAL_FAILURES: Mapping[str, kit.ErrorRule] = {
    "DeadlinePassedError": kit.ErrorRule(
        kit.UnavailableError,
        "the Google credentials were not obtained in time",
        "the option 'credential_timeout' sets the limit, the option 'credential' where to look; "
        "check that no proxy answers in the place of the metadata service",
    ),
    **dict.fromkeys(("TransportError", "RequestException"), _UNREACHABLE_CREDENTIALS),
    **dict.fromkeys(
        ("MalformedError", "InvalidValue", "InvalidResource", "InvalidType"),
        _UNREADABLE_CREDENTIALS,
    ),
    "DefaultCredentialsError": kit.ErrorRule(
        kit.AuthenticationError,
        "no usable Google credentials found",
        "set the option 'credentials_file' or GOOGLE_APPLICATION_CREDENTIALS to a file, run on "
        f"Google Cloud, or run: {_SIGN_IN_AGAIN}",
    ),
    "ReauthFailError": kit.ErrorRule(
        kit.AuthenticationError,
        "Google requires the user to sign in again",
        f"run: {_SIGN_IN_AGAIN}",
    ),
    "RefreshError": kit.ErrorRule(
        kit.AuthenticationError,
        "Google refused to renew the credentials",
        "they were revoked, have expired, or the account or its key was deleted; for your own, "
        f"run: {_SIGN_IN_AGAIN}; for a federation, check token_url, and credential_source with its "
        "executable, in the credentials file",
    ),
    # Where a file has another form than Google's, the library lets these through.
    **dict.fromkeys(
        ("OSError", "ValueError", "LookupError", "TypeError", "AttributeError"),
        _UNREADABLE_CREDENTIALS,
    ),
    "GoogleAuthError": kit.ErrorRule(
        kit.AuthenticationError,
        "cannot use the Google credentials",
        "check the options 'credential' and 'credentials_file'",
    ),
}


def translated(exc: Exception, method: str, key: str) -> kit.KsmStorageError:
    """Return the documented error for a failed call, none of the client's text copied."""
    exc = _innermost(exc)
    call = kit.Call(method, key, "Cloud KMS", _permission(exc, method))
    rule = _rule(exc, method)
    if rule is None:
        return kit.unreadable_reply(call)
    return rule.error(call, request_id=_id(exc), detail=code_of(exc))


def credential_error(exc: Exception, access: Access) -> kit.KsmStorageError:
    """Return the documented error for credentials that were not obtained."""
    call = kit.Call("GetCredentials", "", "Google")
    names = [kind.__name__ for kind in type(exc).__mro__]
    rule = next((CREDENTIAL_FAILURES[name] for name in names if name in CREDENTIAL_FAILURES), None)
    if "RefreshError" in names:
        if access.credential == IMPERSONATION and _is_denied(exc):
            rule = MAY_NOT_IMPERSONATE
        # The metadata server has no login to renew: something else answered in its place.
        elif (
            access.credential == METADATA
            or getattr(exc, "retryable", False)
            or _is_about_transport(exc)
        ):
            rule = _UNREACHABLE_CREDENTIALS
    if rule is _UNREACHABLE_CREDENTIALS:
        rule = kit.rule_for_failure(exc, _NAMES) or rule
    if rule in (None, _UNREADABLE_CREDENTIALS) and is_federated(access.credentials_file):
        rule = _NOT_FEDERATED
    return (rule or _UNREADABLE_CREDENTIALS).error(
        call._replace(permission=rule and rule.permission)
    )


def code_of(exc: Exception) -> str:
    """Return the name of the gRPC code, or an empty string where the failure has none."""
    code = getattr(exc, "grpc_status_code", None)
    return str(getattr(code, "name", ""))


def is_untrusted_certificate(exc: Exception) -> bool:
    """Tell whether the server's certificate is what failed; gRPC has no code for it."""
    return code_of(exc) == "UNAVAILABLE" and "CERTIFICATE_VERIFY_FAILED" in str(exc)


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


def _rule(exc: Exception, method: str) -> kit.ErrorRule | None:
    if is_untrusted_certificate(exc):
        # gRPC verifies it in its own library, so that no exception in the chain names this.
        return kit.NETWORK_RULES["SSLCertVerificationError"]
    if (refusal := kit.proxy_refusal(exc)) is not None:
        return refusal
    code, reason = code_of(exc), str(getattr(exc, "reason", None))
    if code == "UNAVAILABLE" and (name := _UNRESOLVED.search(str(exc))):
        return kit.unresolved_name(name[1])
    if reason in REASONS:
        return REASONS[reason]
    if code == "FAILED_PRECONDITION":
        return STATES.get(_state(exc), CODES[code])
    if code == "INVALID_ARGUMENT" and "crc32c" in str(exc):
        return DAMAGED_REQUEST
    if code == "INVALID_ARGUMENT" and method.endswith("decrypt"):
        return UNDECRYPTABLE
    if code or type(exc).__module__.startswith("google."):
        return CODES.get(code, OTHER)
    return kit.rule_for_failure(exc, kit.NETWORK_RULES)


def _state(exc: Exception) -> str:
    for detail in _details(exc):
        for violation in getattr(detail, "violations", ()):
            kind = str(getattr(violation, "type", ""))
            if kind.removeprefix("KEY_") in STATES:
                return kind.removeprefix("KEY_")
    match = _STATE.search(str(exc))
    return "" if match is None else match[1]


def _permission(exc: Exception, method: str) -> str | None:
    metadata: Any = getattr(exc, "metadata", None) or {}
    named = str(metadata.get("permission", ""))
    return named if _PERMISSION.fullmatch(named) else _PERMISSIONS.get(method)


def _id(exc: Exception) -> str | None:
    for detail in _details(exc):
        request_id = getattr(detail, "request_id", None)
        if isinstance(request_id, str) and request_id:
            return request_id
    return None


def _details(exc: Exception) -> Iterator[Any]:
    details = getattr(exc, "details", None)
    yield from details if isinstance(details, (list, tuple)) else ()


def _is_denied(exc: Exception) -> bool:
    text = str(exc)
    return "PERMISSION_DENIED" in text or "NOT_FOUND" in text


def _is_about_transport(exc: BaseException) -> bool:
    chain = (exc.__cause__, exc.__context__)
    return any(type(link).__name__ == "TransportError" for link in chain)

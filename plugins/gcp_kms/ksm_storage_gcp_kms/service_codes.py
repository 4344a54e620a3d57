"""What each code, reason and key state that Cloud KMS answers means.

Sources: google.rpc.Code; google.api.ErrorReason; Cloud KMS documentation, "Key version states",
"Quotas", "Data integrity guidelines"; the RPC reference of google.cloud.kms.v1.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksm_storage.plugin import (
    AuthenticationError,
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    ThrottledError,
    UnavailableError,
)

from .refusal import Refusal

_BAD_TOKEN = Refusal(
    AuthenticationError,
    "Google does not accept the credentials of the call",
    "check where the credentials come from (for your own: gcloud auth application-default login), "
    "whether the account or its key was deleted, and the clock of this machine",
)
_THROTTLED = Refusal(
    ThrottledError,
    "Cloud KMS is asked for more than the quota of the project allows",
    "try again later, or ask for a higher quota of cryptographic requests",
)
_FAILING = Refusal(UnavailableError, "Cloud KMS failed on its side", "try again later")

# By google.rpc.ErrorInfo, which says more than the code.
REASONS: Mapping[str, Refusal] = {
    "CREDENTIALS_MISSING": Refusal(
        AuthenticationError,
        "the call reached Google without credentials",
        "check that no proxy drops the header authorization",
    ),
    "ACCESS_TOKEN_EXPIRED": Refusal(
        AuthenticationError,
        "the access token has expired",
        "get new credentials, and check the clock of this machine",
    ),
    "ACCESS_TOKEN_TYPE_UNSUPPORTED": _BAD_TOKEN,
    "ACCOUNT_STATE_INVALID": Refusal(
        AuthenticationError,
        "the account that calls is disabled or deleted",
        "look: gcloud iam service-accounts describe EMAIL",
    ),
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": Refusal(
        PermissionDeniedError,
        "the access token has no scope for Cloud KMS",
        "give the instance or the node pool the scope cloud-platform or cloudkms",
    ),
    "IAM_PERMISSION_DENIED": Refusal(
        PermissionDeniedError,
        "the caller may not use the key {key}, or there is no such key",
        "Google does not tell the two apart: check the key's name, then the roles on the key",
        about_permission=True,
    ),
    "USER_PROJECT_DENIED": Refusal(
        PermissionDeniedError,
        "the caller may not use the quota project",
        "grant roles/serviceusage.serviceUsageConsumer on that project, or see the option "
        "'quota_project'",
        permission="serviceusage.services.use",
    ),
    "SECURITY_POLICY_VIOLATED": Refusal(
        PermissionDeniedError,
        "a service perimeter or an organisation's policy forbids the use of the key {key}",
        "ask who administers VPC Service Controls",
    ),
    "SERVICE_DISABLED": Refusal(
        ProviderError,
        "Cloud KMS is not enabled in the project",
        "enable it: gcloud services enable cloudkms.googleapis.com",
    ),
    "BILLING_DISABLED": Refusal(
        ProviderError, "the project has no billing", "link a billing account to the project"
    ),
    "CONSUMER_INVALID": Refusal(
        ProviderError,
        "Google does not know the project that the call counts against",
        "check the project of the key's name and the option 'quota_project'",
    ),
    "RATE_LIMIT_EXCEEDED": _THROTTLED,
}

# By google.rpc.PreconditionFailure: the type without "KEY_" is the state of the version.
STATES: Mapping[str, Refusal] = {
    "DISABLED": Refusal(
        KeyStateError,
        "the version of the key {key} is disabled",
        "enable it: gcloud kms keys versions enable N --key=... --keyring=... --location=...",
    ),
    "DESTROY_SCHEDULED": Refusal(
        KeyStateError,
        "the version of the key {key} is scheduled for destruction",
        "to keep it: gcloud kms keys versions restore N ..., then enable",
    ),
    "DESTROYED": Refusal(
        KeyStateError,
        "the version of the key {key} is destroyed",
        "what it wrapped cannot be opened any more; use another recipient of the file, or a backup",
    ),
    "PENDING_GENERATION": Refusal(
        KeyStateError, "the version of the key {key} is still being made", "try again later"
    ),
    "PENDING_IMPORT": Refusal(
        KeyStateError,
        "the version of the key {key} is still being imported",
        "try again later",
    ),
    "IMPORT_FAILED": Refusal(
        KeyStateError,
        "the version of the key {key} could not be imported",
        "look: gcloud kms keys versions describe N ...",
    ),
    "GENERATION_FAILED": Refusal(
        KeyStateError,
        "the version of the key {key} could not be made",
        "look: gcloud kms keys versions describe N ...",
    ),
}

CODES: Mapping[str, Refusal] = {
    "UNAUTHENTICATED": _BAD_TOKEN,
    "PERMISSION_DENIED": REASONS["IAM_PERMISSION_DENIED"],
    "NOT_FOUND": Refusal(
        KeyNotFoundError,
        "there is no key {key}",
        "check the project, the location, the key ring, the key and the version",
    ),
    "FAILED_PRECONDITION": Refusal(
        KeyStateError,
        "the key {key} is in a state that forbids its use, has no primary version, or has "
        "another purpose",
        "look: gcloud kms keys describe KEY ...; see the option 'purpose'",
    ),
    "INVALID_ARGUMENT": Refusal(
        KeyStateError,
        "the key {key} does not do what was asked for: another purpose, or another algorithm",
        "see the option 'purpose'; raw keys must be AES-GCM",
    ),
    "RESOURCE_EXHAUSTED": _THROTTLED,
    "UNAVAILABLE": Refusal(
        UnavailableError,
        "cannot reach Cloud KMS",
        "check the network, the proxy settings and the option 'endpoint'",
    ),
    "DEADLINE_EXCEEDED": Refusal(
        UnavailableError,
        "Cloud KMS did not answer in time",
        "try again; the options 'attempt_timeout' and 'deadline' set the limits",
    ),
    "INTERNAL": _FAILING,
    "UNKNOWN": _FAILING,
    "ABORTED": _FAILING,
    "CANCELLED": _FAILING,
    "DATA_LOSS": _FAILING,
    "UNIMPLEMENTED": Refusal(
        ProviderError,
        "the endpoint does not know what Cloud KMS does",
        "check the option 'endpoint': an emulator or a proxy may not know all of Cloud KMS",
    ),
}

# INVALID_ARGUMENT, where the call was to decrypt.
UNDECRYPTABLE = Refusal(
    DecryptionError,
    "the wrapped DEK does not decrypt under {key}: another key, another context or altered data",
    "Cloud KMS does not tell these apart; restore the file from a backup",
)
# INVALID_ARGUMENT about a checksum: the request was damaged on its way.
DAMAGED_REQUEST = Refusal(
    UnavailableError,
    "the request was altered on its way to Cloud KMS",
    "try again; if it stays, look at the proxies between here and Cloud KMS",
)
UNTRUSTED_CERTIFICATE = Refusal(
    ProviderError,
    "the certificate of the Cloud KMS endpoint is not trusted",
    "for a private endpoint or an inspecting proxy, name its authority with the option 'ca_file'",
)
OTHER = Refusal(
    ProviderError,
    "Cloud KMS refused the call for the key {key}",
    "check the key's name; an emulator or a proxy may not know all of Cloud KMS",
)

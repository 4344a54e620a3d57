"""Every error of the Cloud KMS emulator: its gRPC code, its reason, and the page it is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

_REASONS = "https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto"
_KMS = "https://cloud.google.com/kms/docs"
_REST = f"{_KMS}/reference/rest/v1/projects.locations.keyRings.cryptoKeys"
_CODES = "https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto"
_LOGIN = "Expected OAuth 2 access token, login cookie or other valid authentication credential."

# The numbers of google.rpc.Code beside the HTTP status that the same page maps them to.
CODES: Mapping[str, tuple[int, int]] = {
    "INVALID_ARGUMENT": (3, 400),
    "DEADLINE_EXCEEDED": (4, 504),
    "NOT_FOUND": (5, 404),
    "ALREADY_EXISTS": (6, 409),
    "PERMISSION_DENIED": (7, 403),
    "RESOURCE_EXHAUSTED": (8, 429),
    "FAILED_PRECONDITION": (9, 400),
    "INTERNAL": (13, 500),
    "UNAVAILABLE": (14, 503),
    "UNAUTHENTICATED": (16, 401),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One documented situation; the message's braces are filled in by the place that raises."""

    code: str
    message: str
    page: str
    reason: str | None = None


ERRORS: Mapping[str, Row] = {
    "no credentials": Row(
        "UNAUTHENTICATED",
        f"Request is missing required authentication credential. {_LOGIN}",
        _REASONS,
        "CREDENTIALS_MISSING",
    ),
    "unknown token": Row(
        "UNAUTHENTICATED",
        f"Request had invalid authentication credentials. {_LOGIN}",
        _REASONS,
        "ACCESS_TOKEN_TYPE_UNSUPPORTED",
    ),
    "expired token": Row(
        "UNAUTHENTICATED",
        f"Request had invalid authentication credentials. {_LOGIN}",
        _REASONS,
        "ACCESS_TOKEN_EXPIRED",
    ),
    "narrow token": Row(
        "PERMISSION_DENIED",
        "Request had insufficient authentication scopes.",
        _REASONS,
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
    ),
    "denied": Row(
        "PERMISSION_DENIED",
        "Permission '{permission}' denied on resource '{resource}' (or it may not exist).",
        f"{_KMS}/reference/permissions-and-roles",
        "IAM_PERMISSION_DENIED",
    ),
    "foreign quota project": Row(
        "PERMISSION_DENIED",
        "Caller does not have required permission to use project {resource}.",
        _REASONS,
        "USER_PROJECT_DENIED",
    ),
    "not found": Row("NOT_FOUND", "{kind} {resource} not found.", f"{_REST}/get"),
    "exists": Row("ALREADY_EXISTS", "{kind} {resource} already exists.", f"{_REST}/create"),
    # The form of the message and the violation: https://github.com/sethvargo/vault-on-gke/issues/56
    "state": Row(
        "FAILED_PRECONDITION",
        "{resource} is not enabled, current state is: {state}.",
        f"{_KMS}/key-states",
    ),
    "no primary": Row(
        "FAILED_PRECONDITION",
        "CryptoKey {resource} has no primary CryptoKeyVersion.",
        f"{_KMS}/key-states",
    ),
    "purpose": Row(
        "FAILED_PRECONDITION",
        "{resource} is not usable for this operation: its purpose is {state}.",
        f"{_KMS}/algorithms",
    ),
    "transition": Row(
        "FAILED_PRECONDITION",
        "{resource} cannot change its state, current state is: {state}.",
        f"{_KMS}/key-states",
    ),
    "malformed name": Row("INVALID_ARGUMENT", "Resource name [{resource}] is invalid.", _REST),
    "argument": Row("INVALID_ARGUMENT", "{detail}", _REST),
    "checksum": Row(
        "INVALID_ARGUMENT",
        "The checksum in field {detail}_crc32c did not match the data in field {detail}.",
        f"{_KMS}/data-integrity-guidelines",
    ),
    # Recorded replies: https://github.com/googleapis/nodejs-kms/issues/421 for the third.
    "wrong key": Row(
        "INVALID_ARGUMENT",
        "Decryption failed: verify that 'name' refers to the correct CryptoKey.",
        f"{_REST}/decrypt",
    ),
    "invalid ciphertext": Row(
        "INVALID_ARGUMENT", "Decryption failed: the ciphertext is invalid.", f"{_REST}/decrypt"
    ),
    "asymmetric": Row(
        "INVALID_ARGUMENT",
        "Decryption failed.",
        f"{_REST}.cryptoKeyVersions/asymmetricDecrypt",
    ),
    "quota": Row(
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for quota metric 'Cryptographic requests'.",
        f"{_KMS}/quotas",
        "RATE_LIMIT_EXCEEDED",
    ),
    "internal": Row("INTERNAL", "Internal error encountered.", _CODES),
    "unavailable": Row("UNAVAILABLE", "The service is currently unavailable.", _CODES),
    "late": Row("DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", _CODES),
}


class GcpError(Exception):
    """An error that goes back to the client; `situation` is a key of `ERRORS`."""

    def __init__(self, situation: str, *, retry_seconds: float | None = None, **words: str) -> None:
        """Refuse situations that the table does not document."""
        self.row = ERRORS[situation]
        super().__init__(self.row.message.format(**words))
        self.situation = situation
        self.words = words
        self.retry_seconds = retry_seconds

    @property
    def http_status(self) -> int:
        """The HTTP status that goes with the code."""
        return CODES[self.row.code][1]

    def status(self) -> status_pb2.Status:
        """Return the status message with its details, as it travels in the trailers."""
        details = []
        for detail in self._details():
            packed = any_pb2.Any()
            packed.Pack(detail)
            details.append(packed)
        number = CODES[self.row.code][0]
        return status_pb2.Status(code=number, message=str(self), details=details)

    def _details(self) -> list[Message]:
        details: list[Message] = []
        if self.row.reason is not None:
            is_iam = self.row.reason == "IAM_PERMISSION_DENIED"
            domain = "cloudkms.googleapis.com" if is_iam else "googleapis.com"
            info = error_details_pb2.ErrorInfo(
                reason=self.row.reason, domain=domain, metadata=self.words
            )
            details.append(info)
        if self.situation == "state":
            failure = error_details_pb2.PreconditionFailure()
            failure.violations.add(
                type=f"KEY_{self.words['state']}", subject=self.words["resource"]
            )
            details.append(failure)
        if self.retry_seconds is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(int(self.retry_seconds * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        return details

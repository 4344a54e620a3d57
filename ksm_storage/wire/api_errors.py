"""The errors of the Keeper API: status, code and message, as a server writes them.

``access_denied`` stands for many causes, which the service tells apart by its message alone, and
the messages differ between versions of the service. No complete list exists, so a client reads
the code first and then looks for words. ``wordings`` holds the messages that are known from the
service; an error without any has the local vault's own message only.
"""

from __future__ import annotations

from dataclasses import dataclass

from .answers import ErrorAnswer

KEY = "key"
THROTTLED = "throttled"
INVALID_CLIENT_VERSION = "invalid_client_version"
ACCESS_DENIED = "access_denied"
BAD_REQUEST = "bad_request"
OUT_OF_SYNC = "out_of_sync"
NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class ApiError:
    """Hold one error that a server answers with.

    Attributes:
        status: The HTTP status.
        code: The ``result_code``.
        message: The ``message`` that the local vault sends.
        wordings: Messages that Keeper's service is known to send for the same cause.
    """

    status: int
    code: str
    message: str
    wordings: tuple[str, ...] = ()

    def answer(self, message: str | None = None) -> ErrorAnswer:
        """Return the JSON body of this error, optionally with another message."""
        return {
            "result_code": self.code,
            "error": self.code,
            "message": self.message if message is None else message,
        }


SIGNATURE_INVALID = ApiError(403, ACCESS_DENIED, "Signature is invalid", ("Signature is invalid",))
CLIENT_UNKNOWN = ApiError(
    403,
    ACCESS_DENIED,
    "Unable to validate application access",
    ("Unable to validate application access", "Unable to validate Keeper application access"),
)
CLIENT_REVOKED = ApiError(403, ACCESS_DENIED, "Client device is revoked")
TOKEN_EXPIRED = ApiError(403, ACCESS_DENIED, "One-time token is expired")
TOKEN_REDEEMED = ApiError(403, ACCESS_DENIED, "One-time token is already redeemed")
ACCESS_EXPIRED = ApiError(403, ACCESS_DENIED, "Client device access is expired")
ADDRESS_REFUSED = ApiError(
    403,
    ACCESS_DENIED,
    "Client device is locked to another address",
    ("This client is locked to a different ip address",),
)
READ_ONLY = ApiError(403, ACCESS_DENIED, "Application may not edit")
CLIENT_VERSION_REFUSED = ApiError(403, INVALID_CLIENT_VERSION, "Client version is not supported")
REQUEST_MALFORMED = ApiError(400, BAD_REQUEST, "Request is malformed")
REVISION_STALE = ApiError(409, OUT_OF_SYNC, "Revision is out of date")
OBJECT_UNKNOWN = ApiError(404, NOT_FOUND, "Object does not exist")
TOO_MANY_REQUESTS = ApiError(403, THROTTLED, "Too many requests")

# By code and message, for the reading side.
KNOWN = {
    (error.code, error.message): error
    for error in (
        SIGNATURE_INVALID,
        CLIENT_UNKNOWN,
        CLIENT_REVOKED,
        TOKEN_EXPIRED,
        TOKEN_REDEEMED,
        ACCESS_EXPIRED,
        ADDRESS_REFUSED,
        READ_ONLY,
        CLIENT_VERSION_REFUSED,
        REQUEST_MALFORMED,
        REVISION_STALE,
        OBJECT_UNKNOWN,
        TOO_MANY_REQUESTS,
    )
}


def key_change(key_id: str) -> ErrorAnswer:
    """Return the body that requests another server public key; send it with status 403."""
    return {"error": KEY, "result_code": KEY, "key_id": key_id, "message": "Use another key"}


def throttle(retry_after_seconds: float | None = None) -> ErrorAnswer:
    """Return the body of a throttled request; send it with status 403 or 429."""
    answer = TOO_MANY_REQUESTS.answer()
    if retry_after_seconds is not None:
        answer["retry_after"] = retry_after_seconds
    return answer

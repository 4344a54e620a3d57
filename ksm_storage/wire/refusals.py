"""The refusals of a server: status, code and message, as one side writes and the other reads them.

``access_denied`` stands for many causes, and the service tells them apart by its message alone.
Two of the messages (SIGNATURE_INVALID, CLIENT_UNKNOWN) are known from the service;
the others are the local vault's choice.
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
class Refusal:
    """Say what the server answers when it refuses.

    Attributes:
        status: The HTTP status.
        code: The ``result_code``.
        message: The ``message``; it tells causes of one code apart.
    """

    status: int
    code: str
    message: str

    def answer(self) -> ErrorAnswer:
        """Return the JSON body of this refusal."""
        return {"result_code": self.code, "error": self.code, "message": self.message}


SIGNATURE_INVALID = Refusal(403, ACCESS_DENIED, "Signature is invalid")
CLIENT_UNKNOWN = Refusal(403, ACCESS_DENIED, "Unable to validate application access")
CLIENT_REVOKED = Refusal(403, ACCESS_DENIED, "Client device is revoked")
TOKEN_EXPIRED = Refusal(403, ACCESS_DENIED, "One-time token is expired")
TOKEN_REDEEMED = Refusal(403, ACCESS_DENIED, "One-time token is already redeemed")
ACCESS_EXPIRED = Refusal(403, ACCESS_DENIED, "Client device access is expired")
ADDRESS_REFUSED = Refusal(403, ACCESS_DENIED, "Client device is locked to another address")
READ_ONLY = Refusal(403, ACCESS_DENIED, "Application may not edit")
CLIENT_VERSION_REFUSED = Refusal(403, INVALID_CLIENT_VERSION, "Client version is not supported")
REQUEST_MALFORMED = Refusal(400, BAD_REQUEST, "Request is malformed")
REVISION_STALE = Refusal(409, OUT_OF_SYNC, "Revision is out of date")
OBJECT_UNKNOWN = Refusal(404, NOT_FOUND, "Object does not exist")
TOO_MANY_REQUESTS = Refusal(403, THROTTLED, "Too many requests")

# By code and message, for the reading side.
KNOWN = {
    (refusal.code, refusal.message): refusal
    for refusal in (
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
    """Return the body that asks for another server public key; it goes with status 403."""
    return {"error": KEY, "result_code": KEY, "key_id": key_id, "message": "Use another key"}


def throttle(retry_after_seconds: float | None = None) -> ErrorAnswer:
    """Return the body that asks for patience; it goes with status 403."""
    answer = TOO_MANY_REQUESTS.answer()
    if retry_after_seconds is not None:
        answer["retry_after"] = retry_after_seconds
    return answer

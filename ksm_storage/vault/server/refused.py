"""A request that is refused, and the body that says so."""

from __future__ import annotations

from ...wire.answers import ErrorAnswer
from ...wire.api_errors import (
    ACCESS_DENIED,
    BAD_REQUEST,
    REQUEST_MALFORMED,
    ApiError,
)

# Refusals that only a vault makes; the service is not known to have them.
REPLAYED = ApiError(403, ACCESS_DENIED, "Request was received before")
ALREADY_EXISTS = ApiError(409, BAD_REQUEST, "Object exists already")
TRANSACTION_UNKNOWN = ApiError(404, "not_found", "Record has no open transaction")
TRANSACTION_OPEN = ApiError(409, "out_of_sync", "Record has an open transaction")
BODY_TOO_LARGE = ApiError(413, BAD_REQUEST, "Request is too large")


class Refused(Exception):  # noqa: N818 - an answer, not an error of this program
    """End a request with a refusal.

    Attributes:
        status: The HTTP status.
        body: The JSON that goes with it, without the parts that every refusal has.
        reason: A detail for the developer at the other end; never a value from the request.
    """

    def __init__(self, status: int, body: ErrorAnswer, *, reason: str | None = None) -> None:
        super().__init__(body.get("message", ""))
        self.status = status
        self.body = body
        self.reason = reason


def refused(refusal: ApiError, *, reason: str | None = None) -> Refused:
    """Return the exception for one of the refusals of the wire format."""
    return Refused(refusal.status, refusal.answer(), reason=reason)


def malformed(reason: str) -> Refused:
    """Return the exception for a request that is not of its form."""
    return refused(REQUEST_MALFORMED, reason=reason)

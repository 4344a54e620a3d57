"""Every error of the OCI Vault emulator: its HTTP status, and the page that documents it."""

from __future__ import annotations

from ksm_storage_emulators.message import Reply, json_reply

_ERRORS = "https://docs.oracle.com/en-us/iaas/Content/API/References/apierrors.htm"
_SIGNING = "https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm"

# The one text of the service that is on record, in https://github.com/hashicorp/vault/issues/13664
HIDDEN = "Key or Vault does not exist or you are not authorized to access them."

# Code -> (status, page). Which of them the crypto endpoint answers for a disabled key
# (IncorrectState) and for a ciphertext that does not decrypt (InvalidParameter) stands on no page
# and in no public record: both are assumed from the table's own descriptions.
ERRORS: dict[str, tuple[int, str]] = {
    "CannotParseRequest": (400, _ERRORS),
    "InvalidParameter": (400, _ERRORS),
    "LimitExceeded": (400, _ERRORS),
    "MissingParameter": (400, _ERRORS),
    "NotAuthenticated": (401, _SIGNING),
    "NotAuthorizedOrNotFound": (404, _ERRORS),
    "NotFound": (404, _ERRORS),
    "MethodNotAllowed": (405, _ERRORS),
    "IncorrectState": (409, _ERRORS),
    "TooManyRequests": (429, _ERRORS),
    "InternalServerError": (500, _ERRORS),
    "ServiceUnavailable": (503, _ERRORS),
}


class OciError(Exception):
    """An error that the service documents."""

    def __init__(self, code: str, message: str) -> None:
        """Take a code of the table."""
        super().__init__(code)
        self.code = code
        self.message = message
        self.status = ERRORS[code][0]


def hidden() -> OciError:
    """Return the error for what does not exist, or is not the caller's to see."""
    return OciError("NotAuthorizedOrNotFound", HIDDEN)


def error_reply(code: str, message: str, *, status: int, headers: dict[str, str]) -> Reply:
    """Return an error in the service's format."""
    return json_reply(status, {"code": code, "message": message}, headers=headers)

"""Every error of the KMS emulator: its HTTP status, and the page that documents it."""

from ksm_storage_emulators.message import Reply, json_reply

_API = "https://docs.aws.amazon.com/kms/latest/APIReference/"
_COMMON = f"{_API}CommonErrors.html"
CONTENT_TYPE = "application/x-amz-json-1.1"

# Code -> (status, page). The last group is what the request pipeline in front of every AWS
# service with a JSON protocol answers; its codes carry "Exception" on the wire.
ERRORS: dict[str, tuple[int, str]] = {
    "AlreadyExistsException": (400, f"{_API}API_CreateAlias.html#API_CreateAlias_Errors"),
    # The page says 409, the wire 400: https://github.com/kroxylicious/kroxylicious/pull/1155
    "DisabledException": (400, f"{_API}API_Encrypt.html#API_Encrypt_Errors"),
    "DryRunOperationException": (412, f"{_API}API_Decrypt.html#API_Decrypt_Errors"),
    "IncorrectKeyException": (400, f"{_API}API_Decrypt.html#API_Decrypt_Errors"),
    "InvalidAliasNameException": (400, f"{_API}API_CreateAlias.html#API_CreateAlias_Errors"),
    "InvalidCiphertextException": (400, f"{_API}API_Decrypt.html#API_Decrypt_Errors"),
    "InvalidKeyUsageException": (400, f"{_API}API_Encrypt.html#API_Encrypt_Errors"),
    "InvalidMarkerException": (400, f"{_API}API_ListAliases.html#API_ListAliases_Errors"),
    "KMSInternalException": (500, f"{_API}API_Encrypt.html#API_Encrypt_Errors"),
    "KMSInvalidStateException": (409, f"{_API}API_Encrypt.html#API_Encrypt_Errors"),
    "LimitExceededException": (400, f"{_API}API_RotateKeyOnDemand.html"),
    "NotFoundException": (400, f"{_API}API_Encrypt.html#API_Encrypt_Errors"),
    "UnsupportedOperationException": (400, f"{_API}API_RotateKeyOnDemand.html"),
    "AccessDeniedException": (400, _COMMON),
    "ExpiredTokenException": (400, _COMMON),
    "IncompleteSignatureException": (400, _COMMON),
    "InternalFailure": (500, _COMMON),
    "InvalidSignatureException": (400, _COMMON),
    "MissingAuthenticationTokenException": (400, _COMMON),
    "SerializationException": (400, _COMMON),
    "ServiceUnavailable": (503, _COMMON),
    "ThrottlingException": (
        400,
        "https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html",
    ),
    "UnknownOperationException": (400, _COMMON),
    "UnrecognizedClientException": (400, _COMMON),
    "ValidationException": (400, _COMMON),
}


class AwsError(Exception):
    """An error that goes back to the client; `code` is a key of `ERRORS`."""

    def __init__(self, code: str, message: str | None = None) -> None:
        """Refuse codes that the table does not document."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = ERRORS[code][0]


def validation_error(member: str, constraint: str) -> AwsError:
    """Return the error for a member that breaks its documented constraint."""
    detail = f"Value at '{member}' failed to satisfy constraint: {constraint}"
    return AwsError("ValidationException", f"1 validation error detected: {detail}")


def error_reply(code: str, message: str | None, *, status: int, request_id: str) -> Reply:
    """Return an error in the JSON 1.1 format."""
    body = {"__type": code} if message is None else {"__type": code, "message": message}
    headers = {"x-amzn-RequestId": request_id}
    return json_reply(status, body, content_type=CONTENT_TYPE, headers=headers)

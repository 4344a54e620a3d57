"""Every error of the Key Vault emulator: its HTTP status, and the page that documents it."""

from __future__ import annotations

from ksm_storage_emulators.message import Reply, json_reply

_STATUS = "https://learn.microsoft.com/en-us/azure/key-vault/general/rest-error-codes"
_DETAILS = "https://learn.microsoft.com/en-us/azure/key-vault/keys/about-keys-details"
_TROUBLES = (
    "https://github.com/Azure/azure-sdk-for-net/blob/main/sdk/keyvault/"
    "Azure.Security.KeyVault.Keys/TROUBLESHOOTING.md"
)
_PRIVATE_LINK = "https://learn.microsoft.com/en-us/azure/key-vault/general/private-link-diagnostics"
_REPLAY = (
    "https://github.com/google/go-cloud/blob/master/secrets/azurekeyvault/testdata/"
    "TestConformance/TestDecryptMalformedError.replay"
)
_DELETED = "https://learn.microsoft.com/en-us/azure/key-vault/general/soft-delete-overview"
_THROTTLING = "https://learn.microsoft.com/en-us/azure/key-vault/general/overview-throttling"

# (code, inner code) -> (status, page).
ERRORS: dict[tuple[str, str | None], tuple[int, str]] = {
    ("BadParameter", None): (400, _REPLAY),
    ("Unauthorized", None): (401, _REPLAY),
    ("Forbidden", "ForbiddenByPolicy"): (403, _TROUBLES),
    ("Forbidden", "ForbiddenByRbac"): (403, _TROUBLES),
    ("Forbidden", "ForbiddenByFirewall"): (403, _PRIVATE_LINK),
    # The page says that a disabled key is not permitted. One report from a live vault says that
    # operations of the public key still are: https://github.com/Azure/azure-sdk-for-python/issues/45342
    ("Forbidden", "KeyDisabled"): (403, _DETAILS),
    # "Date-time controlled operations" documents the 403; its inner codes stand on no page.
    ("Forbidden", "KeyExpired"): (403, _DETAILS),
    ("Forbidden", "KeyNotYetValid"): (403, _DETAILS),
    ("Forbidden", "KeyOperationForbidden"): (403, _TROUBLES),
    # Managed HSM sends no inner codes.
    ("Forbidden", None): (403, _STATUS),
    ("KeyNotFound", None): (404, _DELETED),
    ("NotFound", None): (404, _STATUS),
    ("Conflict", "ObjectIsDeletedButRecoverable"): (409, _DELETED),
    ("Throttled", None): (429, _THROTTLING),
    ("InternalServerError", None): (500, _STATUS),
    ("ServiceUnavailable", None): (503, _STATUS),
}


class VaultError(Exception):
    """An error that goes back to the client; code and inner code are a key of `ERRORS`."""

    def __init__(self, code: str, message: str, *, inner: str | None = None) -> None:
        """Refuse codes that the table does not document."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.inner = inner
        self.message = message
        self.status = ERRORS[code, inner][0]


def bad_parameter(message: str = "The parameter is incorrect.\r\n") -> VaultError:
    """Return what the service says about a wrong key, damage and nonsense alike."""
    return VaultError("BadParameter", message)


def error_reply(
    status: int, code: str, message: str, *, inner: str | None = None, headers: dict[str, str]
) -> Reply:
    """Return an error in the format of the service."""
    error: dict[str, object] = {"code": code, "message": message}
    if inner is not None:
        error["innererror"] = {"code": inner}
    return json_reply(
        status, {"error": error}, content_type="application/json; charset=utf-8", headers=headers
    )

"""Every error of the emulated Entra ID and of the managed identity endpoints."""

from __future__ import annotations

import uuid

from ksm_storage_emulators.message import Reply, json_reply

_CODES = "https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes"
_IMDS = (
    "https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/"
    "how-to-use-vm-token"
)

# AADSTS number -> (status, OAuth error, text, page).
ENTRA_ERRORS: dict[int, tuple[int, str, str, str]] = {
    70003: (400, "unsupported_grant_type", "The app requested an unsupported grant type.", _CODES),
    90014: (400, "invalid_request", "The request body must contain the required field.", _CODES),
    90002: (400, "invalid_request", "Tenant not found.", _CODES),
    90033: (503, "temporarily_unavailable", "A transient error has occurred.", _CODES),
    500011: (400, "invalid_resource", "The resource principal was not found.", _CODES),
    700016: (400, "unauthorized_client", "Application was not found in the directory.", _CODES),
    700024: (401, "invalid_client", "Client assertion is not within its valid time.", _CODES),
    700027: (401, "invalid_client", "Client assertion failed signature validation.", _CODES),
    700211: (401, "invalid_client", "No matching federated identity record found.", _CODES),
    7000215: (401, "invalid_client", "Invalid client secret provided.", _CODES),
    7000218: (401, "invalid_client", "client_assertion or client_secret is required.", _CODES),
    7000222: (401, "invalid_client", "The provided client secret keys are expired.", _CODES),
}

# Error -> (status, text, page) of the managed identity endpoints.
IDENTITY_ERRORS: dict[str, tuple[int, str, str]] = {
    "bad_request_102": (400, "Required metadata header not specified", _IMDS),
    "invalid_request": (400, "Identity not found", _IMDS),
    "invalid_resource": (400, "The resource principal was not found", _IMDS),
    "unauthorized_client": (401, "The identity header is missing or wrong", _IMDS),
    "unknown": (500, "Failed to retrieve token from the Active directory", _IMDS),
}


class EntraError(Exception):
    """An error of the token endpoint, by its AADSTS number."""

    def __init__(self, number: int) -> None:
        """Refuse numbers that the table does not document."""
        super().__init__(f"AADSTS{number}")
        self.number = number
        self.status = ENTRA_ERRORS[number][0]


class IdentityError(Exception):
    """An error of a managed identity endpoint, by its name."""

    def __init__(self, name: str) -> None:
        """Refuse names that the table does not document."""
        super().__init__(name)
        self.name = name


def entra_reply(number: int, *, status: int | None = None) -> Reply:
    """Return an error in the format of the token endpoint."""
    own_status, error, text, _ = ENTRA_ERRORS[number]
    trace = str(uuid.uuid4())
    body = {
        "error": error,
        "error_description": f"AADSTS{number}: {text} Trace ID: {trace}",
        "error_codes": [number],
        "trace_id": trace,
    }
    return json_reply(status or own_status, body, headers={"x-ms-request-id": trace})


def identity_reply(name: str, *, status: int | None = None) -> Reply:
    """Return an error in the format of the instance metadata service."""
    own_status, text, _ = IDENTITY_ERRORS[name]
    return json_reply(status or own_status, {"error": name, "error_description": text})

"""What each error of Key Vault and Managed HSM means: by inner code, by code, by HTTP status.

Sources: Azure Key Vault documentation, "REST API error codes", "Key types, algorithms, and
operations" (key attributes), "Soft-delete overview", "Diagnose private links configuration
issues"; the troubleshooting guides of the Azure SDKs; replies recorded by other projects.
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

_NETWORK = Refusal(
    PermissionDeniedError,
    "the vault {host} does not accept calls from this machine's address",
    "add the address to the vault's firewall, or come through its private endpoint (the option "
    "'connect_to' helps where its DNS name is missing)",
)
_NOT_VALID_NOW = Refusal(
    KeyStateError,
    "the key {key} is outside its time of validity, so that {operation} is refused",
    "use a version that is valid now; an expired key still unwraps what it wrapped",
)
_GONE = Refusal(
    KeyNotFoundError,
    "there is no key {key}, or it is deleted",
    "check the name and the version; a deleted key may be recovered: az keyvault key recover",
)
_FAILING = Refusal(UnavailableError, "the vault {host} failed on its side", "try again later")

# By the inner code of a 403 or 409.
INNER_CODES: Mapping[str, Refusal] = {
    "KeyDisabled": Refusal(
        KeyStateError,
        "the key {key} is disabled",
        "enable the version: az keyvault key set-attributes --enabled true --id URL",
    ),
    "KeyExpired": _NOT_VALID_NOW,
    "KeyNotYetValid": _NOT_VALID_NOW,
    "KeyOperationForbidden": Refusal(
        KeyStateError,
        "the key {key} was made without the operation {operation}",
        "add it to the key's permitted operations: az keyvault key set-attributes --ops ...",
    ),
    "ForbiddenByPolicy": Refusal(
        PermissionDeniedError,
        "no access policy of the vault {host} lets the caller {operation} with the key {key}",
        "add the key permission {operation} to the caller's access policy; a new policy needs "
        "some minutes",
        about_permission=True,
    ),
    "ForbiddenByRbac": Refusal(
        PermissionDeniedError,
        "no role lets the caller {operation} with the key {key}",
        "assign a role with the data action {permission}; a new assignment needs some minutes",
        about_permission=True,
    ),
    "AccessDenied": Refusal(
        PermissionDeniedError,
        "the caller may not {operation} with the key {key}",
        "add the permission to the caller's access policy or role",
        about_permission=True,
    ),
    "ForbiddenByFirewall": _NETWORK,
    "ForbiddenByConnection": _NETWORK,
    "ObjectIsDeletedButRecoverable": _GONE,
    "ObjectIsBeingDeleted": Refusal(
        KeyStateError,
        "the key {key} is being deleted",
        "recover it: az keyvault key recover",
    ),
    "ObjectIsBeingRecovered": Refusal(
        UnavailableError,
        "the key {key} is being recovered from its deletion",
        "try again in a minute",
    ),
}

# By the number that stands in the message of a 401.
TOKEN_CODES: Mapping[str, Refusal] = {
    "AKV10022": Refusal(
        AuthenticationError,
        "the vault {host} does not accept a token for another resource",
        "check the option 'authority_host': the token comes from another cloud than the vault",
    ),
    "AKV10032": Refusal(
        AuthenticationError,
        "the vault {host} does not accept a token of the caller's tenant",
        "sign in to the tenant that the vault belongs to: see the option 'tenant_id'",
    ),
}

CODES: Mapping[str, Refusal] = {
    "Unauthorized": Refusal(
        AuthenticationError,
        "the vault {host} does not accept the caller's token",
        "check the credentials, their tenant, and the clock of this machine",
    ),
    "Forbidden": Refusal(
        PermissionDeniedError,
        "the caller may not {operation} with the key {key}, or the key's state forbids it",
        "the service does not tell the two apart here: check the caller's role ({permission}), "
        "then whether the key is enabled and within its time of validity",
        about_permission=True,
    ),
    "KeyNotFound": _GONE,
    "NotFound": _GONE,
    "Conflict": Refusal(
        KeyStateError,
        "the key {key} is being deleted or recovered",
        "look at its state: az keyvault key show-deleted",
    ),
    "Throttled": Refusal(
        ThrottledError,
        "the vault {host} is asked for more operations than it allows",
        "try again later, or spread the keys over several vaults",
    ),
    "InternalServerError": _FAILING,
    "InternalError": _FAILING,
    "ServiceUnavailable": _FAILING,
    "HSMServiceUnavailable": _FAILING,
}

# A 400 means one thing for what was wrapped before, and another for what is wrapped now.
UNWRAP_REFUSED = Refusal(
    DecryptionError,
    "the wrapped DEK does not decrypt under the key {key}: another key wrapped it, or it is "
    "altered",
    "the service does not tell the two apart; if the key is the right one, restore the file "
    "from a backup",
)
WRAP_REFUSED = Refusal(
    KeyStateError,
    "the key {key} is not of the kind that the algorithm asks for, or the service does not know "
    "this form of request",
    "for an RSA key set the option 'algorithm' to RSA-OAEP-256, for an AES key of a managed HSM "
    "to A256GCM",
)
REDIRECTED = Refusal(
    ProviderError,
    "the host {host} sends the call elsewhere, which a vault does not do",
    "a proxy may ask for a sign-in; the DEK was not sent on",
)


def refusal_for_status(status: int) -> Refusal:
    """Return the meaning of a reply whose code is in no table."""
    if status == 401:
        return CODES["Unauthorized"]
    if status == 403:
        return CODES["Forbidden"]
    if status == 404:
        return CODES["KeyNotFound"]
    if status == 409:
        return CODES["Conflict"]
    if status == 429:
        return CODES["Throttled"]
    if status == 408 or status >= 500:
        return _FAILING
    if 300 <= status < 400:
        return REDIRECTED
    return Refusal(
        ProviderError,
        f"the vault {{host}} refused the request for the key {{key}} (HTTP status {status})",
        "an emulator or a proxy may not know all of Key Vault",
    )

"""What a vault, Entra ID and the Azure client report, and what it means.

Sources: Azure Key Vault documentation, "REST API error codes", "Key types, algorithms, and
operations" (key attributes), "Soft-delete overview", "Diagnose private links configuration
issues"; replies recorded by other projects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import (
    DecodeError,
    HttpResponseError,
    IncompleteReadError,
)

from ksm_storage import plugin as kit

from .client import UnexpectedReplyError
from .hooks import host_of, is_hsm

REQUEST_ID = "x-ms-request-id"

_TOKEN_CODE = re.compile(r"AKV[0-9]{5}")
_WRAPPING = ("wrapKey", "encrypt")
_RECOVERING = ("unwrapKey", "decrypt")
# Operation -> last parts of the data action of a role.
_ACTIONS = {
    "wrapKey": "keys/wrap/action",
    "unwrapKey": "keys/unwrap/action",
    "encrypt": "keys/encrypt/action",
    "decrypt": "keys/decrypt/action",
    "sign": "keys/sign/action",
    "create": "keys/create/action",
    "get": "keys/read",
    "getrotationpolicy": "keyrotationpolicies/read",
}
# A managed HSM has another name for this action.
_HSM_ACTIONS = {**_ACTIONS, "get": "keys/read/action"}

_SIGN_REFUSED = kit.ErrorRule(
    kit.KeyStateError,
    "the key {key} cannot sign with ES256",
    "use an EC key on the curve P-256",
)
_NETWORK = kit.ErrorRule(
    kit.PermissionDeniedError,
    "{place} rejects calls from this host's address",
    "add the address to the vault's firewall, or use its private endpoint (the option "
    "'connect_to' helps if its DNS name is missing)",
)
_NOT_VALID_NOW = kit.ErrorRule(
    kit.KeyStateError,
    "the key {key} is expired or not yet valid, and {operation} was refused",
    "use a version that is valid now; an expired key still unwraps",
)
_GONE = kit.ErrorRule(
    kit.KeyNotFoundError,
    "the key {key} was not found, or it is deleted",
    "check the name and the version; a deleted key can be recovered with: az keyvault key recover",
)
_FAILING = kit.ErrorRule(kit.UnavailableError, "{place} reported an internal error", "retry later")

# By the inner code of a 403 or 409.
INNER_CODES: Mapping[str, kit.ErrorRule] = {
    "KeyDisabled": kit.ErrorRule(
        kit.KeyStateError,
        "the key {key} is disabled",
        "enable the version: az keyvault key set-attributes --enabled true --id URL",
    ),
    "KeyExpired": _NOT_VALID_NOW,
    "KeyNotYetValid": _NOT_VALID_NOW,
    "KeyOperationForbidden": kit.ErrorRule(
        kit.KeyStateError,
        "the key {key} does not permit the operation {operation}",
        "add it to the key's permitted operations: az keyvault key set-attributes --ops ...",
    ),
    "ForbiddenByPolicy": kit.ErrorRule(
        kit.PermissionDeniedError,
        "not allowed to {operation} with the key {key}: no access policy of {place} grants it",
        "add the key permission {operation} to the caller's access policy; a new policy takes "
        "effect after some minutes",
        permission="{permission}",
    ),
    "ForbiddenByRbac": kit.ErrorRule(
        kit.PermissionDeniedError,
        "not allowed to {operation} with the key {key}: no role grants {permission}",
        "assign a role with that data action; a new assignment takes effect after some minutes",
        permission="{permission}",
    ),
    "AccessDenied": kit.ErrorRule(
        kit.PermissionDeniedError,
        "not allowed to {operation} with the key {key}",
        "add the permission to the caller's access policy or role",
        permission="{permission}",
    ),
    "ForbiddenByFirewall": _NETWORK,
    "ForbiddenByConnection": _NETWORK,
    "ObjectIsDeletedButRecoverable": _GONE,
    "ObjectIsBeingDeleted": kit.ErrorRule(
        kit.KeyStateError,
        "the key {key} is being deleted",
        "recover it: az keyvault key recover",
    ),
    "ObjectIsBeingRecovered": kit.ErrorRule(
        kit.UnavailableError,
        "the key {key} is being recovered from its deletion",
        "retry in a minute",
    ),
}

# By the number that stands in the message of a 401.
TOKEN_CODES: Mapping[str, kit.ErrorRule] = {
    "AKV10022": kit.ErrorRule(
        kit.AuthenticationError,
        "{place} rejected a token for another resource",
        "check the option 'authority_host': the token and the vault are of different clouds",
    ),
    "AKV10032": kit.ErrorRule(
        kit.AuthenticationError,
        "{place} rejected a token of the caller's tenant",
        "sign in to the tenant of the vault, and check the option 'tenant_id'",
    ),
}

CODES: Mapping[str, kit.ErrorRule] = {
    "Unauthorized": kit.ErrorRule(
        kit.AuthenticationError,
        "{place} rejected the caller's token",
        "check the credentials, their tenant, and the clock of this host",
    ),
    "Forbidden": kit.ErrorRule(
        kit.PermissionDeniedError,
        "not allowed to {operation} with the key {key}, or the key's state does not permit it",
        "the service does not tell the two apart here: check the caller's role ({permission}), "
        "then whether the key is enabled and currently valid",
        permission="{permission}",
    ),
    "KeyNotFound": _GONE,
    "NotFound": _GONE,
    "Conflict": kit.ErrorRule(
        kit.KeyStateError,
        "the key {key} is being deleted or recovered",
        "check its state: az keyvault key show-deleted",
    ),
    "Throttled": kit.ErrorRule(
        kit.ThrottledError,
        "{place} is throttling requests",
        "retry later, or spread the keys over several vaults",
    ),
    "InternalServerError": _FAILING,
    "InternalError": _FAILING,
    "ServiceUnavailable": _FAILING,
    "HSMServiceUnavailable": _FAILING,
}

# A 400 means one thing for what was wrapped before, and another for what is wrapped now.
UNWRAP_REFUSED = kit.ErrorRule(
    kit.DecryptionError,
    "cannot decrypt the wrapped data key under the key {key}: another key wrapped it, or it is "
    "altered",
    "the service does not tell the two apart; if the key is the right one, restore the file "
    "from a backup",
)
WRAP_REFUSED = kit.ErrorRule(
    kit.KeyStateError,
    "the key {key} does not support the algorithm, or the service does not support the request",
    "for an RSA key set the option 'algorithm' to RSA-OAEP-256, for an AES key of a managed HSM "
    "to A256GCM",
)
REDIRECTED = kit.ErrorRule(
    kit.ProviderError,
    "{place} answered with a redirect, which a vault never sends",
    "a proxy may require a sign-in; the data key was not sent on",
)


_STATUSES = {
    401: CODES["Unauthorized"],
    403: CODES["Forbidden"],
    404: CODES["KeyNotFound"],
    408: _FAILING,
    409: CODES["Conflict"],
    429: CODES["Throttled"],
}
FOREIGN_CHALLENGE = kit.ErrorRule(
    kit.AuthenticationError,
    "{place} asked for a token of another resource; none was sent",
    "this is not the vault, or a vault of another cloud: check the options 'authority_host' and "
    "'connect_to'",
)
# By the names of classes: what the Azure client raises without a reply.
CLIENT_FAILURES: Mapping[str, kit.ErrorRule] = {
    "NoTimeError": kit.NETWORK_RULES["DeadlinePassedError"],
    "ServiceRequestTimeoutError": kit.NETWORK_RULES["ReadTimeoutError"],
    "ServiceResponseTimeoutError": kit.NETWORK_RULES["ReadTimeoutError"],
    **kit.NETWORK_RULES,
    "ServiceResponseError": kit.NETWORK_RULES["ProtocolError"],
    "ServiceRequestError": kit.NETWORK_RULES["ConnectionError"],
    "AzureError": kit.ErrorRule(
        kit.ProviderError,
        "the Azure client failed ({detail}) for the key {key}",
        "check the settings and the AZURE_* variables, and upgrade azure-core",
    ),
}


def call_of(operation: str, key: kit.KeyName) -> kit.Call:
    """Return how a call is named in errors, with the data action that permits it."""
    kind, actions = ("managedHsm", _HSM_ACTIONS) if is_hsm(key) else ("vaults", _ACTIONS)
    permission = f"Microsoft.KeyVault/{kind}/{actions[operation]}"
    return kit.Call(operation, str(key), f"the vault {host_of(key)!r}", permission)


def translated(exc: Exception, call: kit.Call) -> kit.KsmStorageError:
    """Return the documented error for a failed call, none of the client's text copied."""
    response: Any = getattr(exc, "response", None)
    if isinstance(exc, UnexpectedReplyError) and response.status_code == 200:
        error = kit.unreadable_reply(call)
        error.request_id = response.headers.get(REQUEST_ID)
        return error
    is_half = isinstance(exc, (DecodeError, IncompleteReadError))
    is_reply = isinstance(exc, (HttpResponseError, UnexpectedReplyError))
    if is_reply and not is_half and response is not None:
        return _from_reply(response, call)
    # Its own check of the challenge is the only one that a call raises.
    if type(exc) is ValueError:
        return FOREIGN_CHALLENGE.error(call)
    if isinstance(exc, DecodeError) and not isinstance(exc, IncompleteReadError):
        return kit.unreadable_reply(call)
    rule = kit.rule_for_failure(exc, CLIENT_FAILURES)
    detail = type(exc).__name__
    return kit.unreadable_reply(call) if rule is None else rule.error(call, detail=detail)


def _from_reply(response: Any, call: kit.Call) -> kit.KsmStorageError:
    error = _error_object(response)
    inner = _inner_codes(error)
    if "ForbiddenByPolicy" in inner:
        # Access policies have names of their own for permissions.
        call = call._replace(permission=f"keys/{call.operation}")
    status, code = int(response.status_code), str(error.get("code", ""))
    detail = f"{kit.shown_code(code)}, HTTP status {status}" if code else f"HTTP status {status}"
    rule = _rule(status, error, inner, call)
    told = rule.error(call, request_id=response.headers.get(REQUEST_ID), detail=detail)
    retry_after = str(response.headers.get("Retry-After", ""))
    if isinstance(told, kit.ThrottledError) and retry_after.isdigit():
        told.hint = f"retry in {retry_after} seconds, or spread the keys over several vaults"
    return told


def _rule(status: int, error: Mapping[str, Any], inner: list[str], call: kit.Call) -> kit.ErrorRule:
    if status == 400 and call.operation in (*_WRAPPING, *_RECOVERING):
        return UNWRAP_REFUSED if call.operation in _RECOVERING else WRAP_REFUSED
    if status == 400 and call.operation == "sign":
        return _SIGN_REFUSED
    for code in inner:
        if code in INNER_CODES:
            return INNER_CODES[code]
    number = _TOKEN_CODE.search(str(error.get("message", "")))
    if status == 401 and number is not None and number[0] in TOKEN_CODES:
        return TOKEN_CODES[number[0]]
    known = CODES.get(str(error.get("code", ""))) or _STATUSES.get(status)
    if known is None and status < 400:
        return REDIRECTED
    return known or (_FAILING if status >= 500 else kit.rule_for_status(status))


def _error_object(response: Any) -> Mapping[str, Any]:
    # A proxy may answer in place of the vault, in whatever form.
    try:
        error = response.json()["error"]
    except (ValueError, LookupError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _inner_codes(error: Mapping[str, Any]) -> list[str]:
    codes: list[str] = []
    # The service writes "innererror"; older replies wrote "innerError".
    inner = error.get("innererror") or error.get("innerError")
    while isinstance(inner, dict) and len(codes) < 4:
        codes.append(str(inner.get("code", "")))
        inner = inner.get("innererror") or inner.get("innerError")
    return codes

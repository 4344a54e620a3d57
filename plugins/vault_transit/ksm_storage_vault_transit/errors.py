"""What the server's texts and statuses mean. It has no codes, so the known texts are the table.

Sources: the texts are those of ``sdk/helper/keysutil`` and ``builtin/logical/transit``, which
OpenBao and HashiCorp Vault share; the statuses are in the API documentation of both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ksm_storage.plugin import (
    NETWORK_RULES,
    AuthenticationError,
    Call,
    DecryptionError,
    ErrorRule,
    KeyNotFoundError,
    KeyStateError,
    KsmStorageError,
    PermissionDeniedError,
    ProviderError,
    UnavailableError,
    rule_for_failure,
    rule_for_status,
    unreadable_reply,
)

from .transport import LoginError, ReplyError

_WRONG_KIND = ErrorRule(
    KeyStateError,
    "the key {key} has a type that cannot wrap a data key",
    "use a key of the type aes256-gcm96 (the default) that was not created with derived=true",
)
_ALTERED = ErrorRule(
    DecryptionError,
    "the wrapped data key does not decrypt: another key, another context or altered data",
    "check the context; restore the file from a backup if it is damaged",
)
_NO_KEY = ErrorRule(
    KeyNotFoundError,
    "the key {key} was not found at {place}",
    "check the name, the mount path and the namespace; a deleted key cannot be restored",
)
_BAD_TOKEN = ErrorRule(
    AuthenticationError,
    "{place} rejected the token: invalid, expired or revoked",
    "log in again; for a long-running program, set 'renew_token' or use a login of its own",
)
_DENIED = ErrorRule(
    PermissionDeniedError,
    "not allowed to {operation} with the key {key}, or the key or its mount does not exist",
    "grant {permission} in the token's policy, without min_wrapping_ttl; if the token came "
    "response-wrapped, unwrap it first",
    permission="{permission}",
)
_SEALED = ErrorRule(
    UnavailableError, "{place} is sealed or not initialized", "unseal it, then retry"
)
_STANDBY = ErrorRule(
    UnavailableError,
    "{place} is a standby node that does not forward requests",
    "use the address of the active node or of the load balancer; redirects are not followed",
)
_NO_ACTIVE_NODE = ErrorRule(
    UnavailableError, "the cluster of {place} has no active node", "retry in a few seconds"
)
_TOO_OLD = ErrorRule(
    KeyStateError,
    "the key {key} no longer decrypts the version that wrapped this data key",
    "lower min_decryption_version of the key, run 'ksm-storage rewrap --refresh', and raise it "
    "again; a version that was trimmed is lost",
)
_LOGIN_REFUSED = ErrorRule(
    AuthenticationError,
    "{place} refused the login",
    "check the role or role id, the secret id (it may have expired, or be used up) or JSON web "
    "token, and the option 'auth_mount'",
)

# The first text that the reply contains counts. A bare "permission denied" is the token's fault,
# one in a list of errors the policy's: both servers answer so.
_TEXTS: tuple[tuple[str, ErrorRule], ...] = (
    (r"message authentication failed|invalid ciphertext|missing ciphertext", _ALTERED),
    (r"disallowed by policy \(too old\)|no such key version", _TOO_OLD),
    (r"(encryption|signing) key not found|unknown key type", _NO_KEY),
    (
        r"requested version for signing",
        ErrorRule(
            KeyStateError,
            "the version of the key {key} may no longer sign, or does not exist",
            "lower min_encryption_version of the key, or bind the device anew",
        ),
    ),
    (
        r"does not support signing",
        ErrorRule(
            KeyStateError,
            "the key {key} cannot sign",
            "use a key of the type ecdsa-p256 as a device key",
        ),
    ),
    (r"non-AEAD cipher|missing 'context' for key|not supported for (this )?key type", _WRONG_KIND),
    (
        r"soft-deleted key",
        ErrorRule(
            KeyStateError,
            "the key {key} is soft-deleted",
            "restore it: bao write -f MOUNT/keys/KEY/soft-delete-restore",
        ),
    ),
    (
        r"lease is not renewable|token not renewable",
        ErrorRule(
            AuthenticationError,
            "the token cannot be renewed",
            "unset the option 'renew_token', or give a renewable token",
        ),
    ),
    (r"sealed|not initialized", _SEALED),
    (r"local node not active|no active", _NO_ACTIVE_NODE),
    (r"invalid token|missing client token|^permission denied$", _BAD_TOKEN),
    (r"permission denied", _DENIED),
)
_STATUSES: Mapping[int, ErrorRule] = {
    307: _STANDBY,
    308: _STANDBY,
    403: _DENIED,
    404: _NO_KEY,
    412: ErrorRule(
        UnavailableError, "{place} is behind the node that it replicates", "retry in a second"
    ),
    472: _STANDBY,
    473: _STANDBY,
}
_REDIRECTED = NETWORK_RULES["TooManyRedirects"]
_FAILURES: Mapping[str, ErrorRule] = {
    "AgentSocketError": ErrorRule(
        UnavailableError,
        "cannot connect to the agent: {place} does not answer",
        "start the agent, and check the path and the permissions of its socket",
    ),
    **NETWORK_RULES,
}


def translated(exc: Exception, call: Call) -> KsmStorageError:
    """Return the documented error for what the transport raised."""
    if isinstance(exc, ReplyError):
        rule = rule_for_reply(exc)
        if isinstance(exc, LoginError) and not rule.kind.retryable:
            rule = _LOGIN_REFUSED
        return rule.error(call, detail=f"status {exc.status}")
    failure = rule_for_failure(exc, _FAILURES)
    return failure.error(call) if failure else unreadable_reply(call)


def rule_for_reply(exc: ReplyError) -> ErrorRule:
    """Return the rule for a refusal: by its text, else by its status."""
    for pattern, rule in _TEXTS:
        if any(re.search(pattern, text) for text in exc.texts):
            return rule
    if exc.status in _STATUSES:
        return _STATUSES[exc.status]
    return _REDIRECTED if 300 <= exc.status < 400 else rule_for_status(exc.status)


def rejects_token(exc: ReplyError) -> bool:
    """Tell whether another token may help."""
    return rule_for_reply(exc) is _BAD_TOKEN


WRAPPED_REPLY = ErrorRule(
    ProviderError,
    "{place} answered with a response-wrapping token instead of a result",
    "check what adds the header X-Vault-Wrap-TTL between this host and the server",
)
IGNORED_AAD = ErrorRule(
    ProviderError,
    "{place} ignored the associated data, so it did not bind the context",
    "upgrade the server: Transit binds associated data in Vault 1.13 and later and in OpenBao",
)

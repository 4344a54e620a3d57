"""What failures to obtain credentials mean: Entra ID's numbers, missing sources, the network.

Sources: Microsoft identity platform, "Error codes" (AADSTS); azure-identity, "Troubleshooting".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

from ksm_storage import plugin as kit

from .transport import NoTimeError

# No reply, or half of one.
_UNREACHED = (ServiceRequestError, ServiceResponseError, DecodeError, kit.DeadlinePassedError)
_NUMBER = re.compile(r"AADSTS([0-9]{5,7})\b")
_TENANT = re.compile(r"[0-9A-Za-z.-]{1,253}")

_FEDERATION = (
    "the application does not trust the federated token",
    "compare issuer, subject and audience of the token with the federated credential of the "
    "application",
)
_ASSERTION = (
    "the application does not accept the certificate or the federated token",
    "upload the certificate to the application; check the federated credential, and the clock",
)
_APPLICATION = (
    "the application was not found in the tenant",
    "check 'client_id' and 'tenant_id', and the cloud ('authority_host')",
)

# AADSTS number -> message and hint.
ENTRA_CODES: Mapping[int, tuple[str, str]] = {
    700016: _APPLICATION,
    7000112: ("the application is disabled", "enable it in Microsoft Entra ID"),
    7000215: (
        "invalid client secret",
        "set 'client_secret' to the secret's value, not to its id",
    ),
    7000222: ("the application's secret has expired", "create a new one in Microsoft Entra ID"),
    700027: _ASSERTION,
    700024: (
        "the application's assertion is expired or not yet valid",
        "check the clock of this host, and that the token file is renewed",
    ),
    70021: _FEDERATION,
    700211: _FEDERATION,
    700212: _FEDERATION,
    700213: _FEDERATION,
    90002: (
        "the tenant was not found",
        "check 'tenant_id' and the cloud ('authority_host')",
    ),
    900023: ("not a valid tenant name", "check 'tenant_id'"),
    500011: (
        "the tenant has no Key Vault of this cloud",
        "for another cloud than the public one, set 'authority_host' and 'tenant_id'",
    ),
    53003: (
        "a conditional access policy blocks the caller",
        "ask the administrators of the tenant",
    ),
}


def credential_error(exc: Exception, *, kind: str, tenant: str | None) -> kit.KsmStorageError:
    """Return the documented error for credentials that were not obtained, no text copied."""
    if isinstance(exc, CredentialUnavailableError):
        return kit.AuthenticationError(
            f"no Azure credentials of the kind {kind!r} found",
            hint="docs/plugins/azure-kv.md lists where each kind looks; for the kind 'cli' run: "
            "az login",
        )
    call = kit.Call("GetToken", "", "the service that issues the Azure credentials")
    rule = kit.rule_for_failure(exc, {})
    if rule is not None and not isinstance(exc, OSError):
        return rule.error(call)
    if _last_status(exc) == 429:
        return kit.ThrottledError("Microsoft Entra ID is throttling requests", hint="retry later")
    if isinstance(exc, ClientAuthenticationError):
        return _refused(exc, kind=kind, tenant=tenant)
    if type(exc) is kit.DeadlinePassedError:
        return kit.UnavailableError(
            "the Azure credentials were not obtained in time",
            hint="choose one kind with the option 'credential', or raise 'credential_timeout' or "
            "'deadline'",
        )
    if isinstance(exc, _UNREACHED):
        return _unreachable()
    if not isinstance(exc, AzureError):
        return kit.SettingsError(
            f"cannot use the settings for credentials of the kind {kind!r} ({type(exc).__name__})",
            hint="check the options of the kind, the AZURE_* variables, and the files they name",
        )
    return kit.AuthenticationError(f"the Azure credentials of the kind {kind!r} failed")


def _refused(
    exc: ClientAuthenticationError, *, kind: str, tenant: str | None
) -> kit.KsmStorageError:
    if _last_status(exc) >= 500 or any(isinstance(link, _UNREACHED) for link in kit.chain_of(exc)):
        return _unreachable()
    number = _number(exc)
    message, hint = ENTRA_CODES.get(
        number or 0,
        (
            f"the Azure credentials of the kind {kind!r} were rejected",
            "check the credentials and their tenant" + _of(tenant),
        ),
    )
    shown = f" (AADSTS{number})" if number else ""
    return kit.AuthenticationError(f"{message}{shown}", hint=hint)


def _last_status(exc: Exception) -> int:
    # A reply that was not retried for lack of time lies behind the error about the time.
    for link in kit.chain_of(exc):
        if isinstance(link, NoTimeError) and link.status:
            return link.status
    return int(getattr(getattr(exc, "response", None), "status_code", None) or 0)


def _of(tenant: str | None) -> str:
    if tenant is None or not _TENANT.fullmatch(tenant):
        return ""
    return f"; the vault belongs to the tenant {tenant}"


def _unreachable() -> kit.UnavailableError:
    return kit.UnavailableError(
        "cannot reach the service that issues the Azure credentials, or it failed",
        hint="retry; if it persists, check the network, the proxy settings, 'authority_host' and "
        "'ca_file'",
    )


def _number(exc: Any) -> int | None:
    match = _NUMBER.search(str(exc))
    return int(match[1]) if match else None

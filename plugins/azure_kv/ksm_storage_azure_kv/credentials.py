"""Make the credentials that the settings choose, and tell what their failures mean.

Importing this module imports the client. Sources: Microsoft identity platform, "Error codes"
(AADSTS); azure-identity, "Troubleshooting".
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import Any

from azure import identity
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

from ksm_storage import plugin as kit

from .hooks import CredentialChoice
from .transport import DeadlineTransport, NoTimeError

# At most this many commands are run one after the other: az, pwsh, azd.
_COMMANDS = 3

# No reply, or half of one.
_UNREACHED = (ServiceRequestError, ServiceResponseError, DecodeError, kit.DeadlinePassedError)
_UNREACHABLE = kit.ErrorRule(
    kit.UnavailableError,
    "cannot reach the service that issues the Azure credentials, or it failed",
    "retry; if it persists, check the network, {proxy}, 'authority_host' and 'ca_file'",
)
_NAMES = {name: kit.NETWORK_RULES[name] for name in ("NameResolutionError", "gaierror")}
_NUMBER = re.compile(r"AADSTS([0-9]{5,7})\b")
_TRACE_ID = re.compile(r"\bTrace ID: ([0-9a-f-]{36})\b")
_TENANT = re.compile(r"[0-9A-Za-z.-]{1,253}")

# By the kind of credentials: what to mend when they are missing, unusable or rejected.
_ADVICE = {
    "default": "run: az login; or choose a kind by the option 'credential': "
    "docs/plugins/azure-kv.md lists where each looks",
    "environment": "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or the PEM or "
    "PKCS #12 file of a certificate in AZURE_CLIENT_CERTIFICATE_PATH",
    "managed-identity": "use credential=managed-identity on a host of Azure that has one; "
    "check AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "workload-identity": "check the settings 'tenant_id', 'client_id' and 'token_file', or "
    "AZURE_FEDERATED_TOKEN_FILE",
    "cli": "run: az login; it must print a token with: az account get-access-token",
    "client-secret": "check the settings 'tenant_id', 'client_id' and 'client_secret'",
    "client-certificate": "the file of 'certificate_path' must be PEM or PKCS #12 with the "
    "certificate and its private key; check 'certificate_password'",
}
# They ask Entra ID itself, which gives each refusal a number.
_ASK_ENTRA = ("environment", "workload-identity", "client-secret", "client-certificate")

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

_USER = (
    "invalid user name or password",
    "check AZURE_USERNAME and AZURE_PASSWORD; better use an application with a secret or a "
    "certificate",
)
_MORE_THAN_A_PASSWORD = (
    "the user must sign in with more than a password",
    "use an application with a secret or a certificate instead of AZURE_USERNAME, or run: az login",
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
    50034: _USER,
    50126: _USER,
    50053: ("the user is locked", "wait, or ask the administrators of the tenant"),
    50055: ("the user's password has expired", "change it, and set AZURE_PASSWORD"),
    50057: ("the user is disabled", "enable it in Microsoft Entra ID"),
    50076: _MORE_THAN_A_PASSWORD,
    50079: _MORE_THAN_A_PASSWORD,
    7000218: (
        "the application needs a secret or a certificate",
        "set AZURE_CLIENT_SECRET, or allow public client flows of the application",
    ),
    53003: (
        "a conditional access policy blocks the caller",
        "ask the administrators of the tenant",
    ),
}


def make_credential(
    choice: CredentialChoice, transport: DeadlineTransport, *, seconds: float
) -> Any:
    """Return a credential of azure-identity; nothing is called yet.

    Raises:
        ValueError: A part is missing or unusable; its text may show it.
        OSError: A file cannot be read.
    """
    common: dict[str, Any] = {"transport": transport}
    _validate_texts(choice)
    # The authority comes from the caller, never from a file that is opened, so there is nothing
    # to validate; and the validation asks the public cloud, from every other cloud too.
    service_principal = {**common, "disable_instance_discovery": True}
    if choice.authority is not None:
        service_principal["authority"] = choice.authority
    if choice.kind == "default":
        return _default(choice, service_principal, seconds=seconds)
    if choice.kind == "environment":
        return identity.EnvironmentCredential(**service_principal)
    if choice.kind == "managed-identity":
        return identity.ManagedIdentityCredential(client_id=choice.client_id, **common)
    if choice.kind == "workload-identity":
        _validate_token_file(choice.token_file)
        return identity.WorkloadIdentityCredential(
            tenant_id=choice.tenant_id,
            client_id=choice.client_id,
            token_file_path=choice.token_file,
            **service_principal,
        )
    if choice.kind == "cli":
        return identity.AzureCliCredential(
            tenant_id=choice.tenant_id or "", process_timeout=math.ceil(seconds)
        )
    return _application(choice, service_principal)


def _validate_texts(choice: CredentialChoice) -> None:
    """Refuse what a shell, a file or a paste left around a value; Entra ID would only reject it.

    Raises:
        SettingsError: A value has a line end, a blank or quotation marks around it.
    """
    given = {
        "the setting 'tenant_id'": choice.tenant_id,
        "the setting 'client_id'": choice.client_id,
    }
    if choice.kind in ("default", "environment", "workload-identity"):
        names = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
        given |= {name: os.environ.get(name) for name in names}
    for named, value in given.items():
        _validate_text(value, named=named)
        if value and "tenant" in named.lower() and not _TENANT.fullmatch(value):
            raise kit.SettingsError(
                f"{named} is not a tenant", hint="write the tenant's id or its domain name"
            )


def _validate_text(value: str | None, *, named: str) -> None:
    if value and (not value.isprintable() or value != value.strip(" \"'")):
        raise kit.SettingsError(
            f"{named} has a line end, a blank or a quotation mark at its ends",
            hint="write the value alone, on one line and without quotes",
        )


def _validate_token_file(given: str | None) -> None:
    path = given or os.environ.get("AZURE_FEDERATED_TOKEN_FILE")
    if path is None:
        return
    what = "the file of the federated token"
    hint = "check the setting 'token_file' and AZURE_FEDERATED_TOKEN_FILE"
    try:
        with open(path, "rb", opener=kit.only_regular) as file:
            token = file.read()
    except OSError as exc:
        raise kit.SettingsError(f"cannot read {what}: {exc.strerror}", hint=hint) from exc
    if not token.strip() or not token.isascii():
        raise kit.SettingsError(f"{what} holds no token", hint=hint)


def _default(choice: CredentialChoice, common: dict[str, Any], *, seconds: float) -> Any:
    named = {} if choice.client_id is None else {"managed_identity_client_id": choice.client_id}
    chain = identity.DefaultAzureCredential(
        # These belong to a desktop: they read caches of other programs, or open windows.
        exclude_shared_token_cache_credential=True,
        exclude_visual_studio_code_credential=True,
        exclude_interactive_browser_credential=True,
        exclude_broker_credential=True,
        process_timeout=max(1, int(seconds / _COMMANDS)),
        **named,
        **common,
    )
    return DefaultChain(chain)


def _application(choice: CredentialChoice, common: dict[str, Any]) -> Any:
    tenant_id, client_id = choice.tenant_id or "", choice.client_id or ""
    if choice.kind == "client-secret":
        secret = choice.client_secret() or ""
        _validate_text(secret, named="the setting 'client_secret'")
        return identity.ClientSecretCredential(tenant_id, client_id, secret, **common)
    return identity.CertificateCredential(
        tenant_id,
        client_id,
        choice.certificate_path,
        password=choice.certificate_password(),
        **common,
    )


class DefaultChain:
    """Ask the sources of a ``DefaultAzureCredential`` in its order.

    The chain itself keeps the failure of a source as text only, so that an authority that is down
    could not be told from one that refuses, nor either of them from finding no source at all.
    """

    def __init__(self, chain: Any) -> None:
        self.credentials = chain.credentials
        self._chain = chain
        self._failures: list[Exception] = []
        self._chain.credentials = tuple(_noting(each, self._failures) for each in self.credentials)

    def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        """Return a token of the first source that has one.

        Raises:
            CredentialUnavailableError: No source is set up here.
            ClientAuthenticationError: A source is, and failed; its exception is the cause.
        """
        try:
            return self._chain.get_token_info(*scopes, options=options)
        except ClientAuthenticationError as exc:
            if self._failures:
                raise exc from self._failures[-1]
            raise CredentialUnavailableError("no source is set up here") from exc
        finally:
            # An exception may hold the reply with a token, and must not outlive the call.
            self._failures.clear()


class _Source:
    def __init__(self, credential: Any, failures: list[Exception]) -> None:
        self._credential = credential
        self._failures = failures

    def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        try:
            return self._credential.get_token_info(*scopes, options=options)
        except CredentialUnavailableError:
            raise
        except Exception as exc:
            self._failures.append(exc)
            raise


def _noting(credential: Any, failures: list[Exception]) -> _Source:
    # The chain's text, which stays on our cause, names each source by its class.
    named: type[_Source] = type(type(credential).__name__, (_Source,), {})
    return named(credential, failures)


def credential_error(exc: Exception, *, kind: str, tenant: str | None) -> kit.KsmStorageError:
    """Return the documented error for credentials that were not obtained, no text copied."""
    # The client wraps whatever is raised on the way: an invalid proxy.
    own = next((link for link in kit.chain_of(exc) if isinstance(link, kit.SettingsError)), None)
    if own is not None:
        return kit.SettingsError(own.message, hint=own.hint)
    if isinstance(exc, CredentialUnavailableError):
        return kit.AuthenticationError(
            f"no Azure credentials of the kind {kind!r} found",
            hint=_ADVICE[kind],
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
        return _unreachable(exc)
    if not isinstance(exc, AzureError) and kind != "cli":
        return kit.SettingsError(
            f"cannot use the settings for credentials of the kind {kind!r}", hint=_ADVICE[kind]
        )
    return kit.AuthenticationError(
        f"the Azure credentials of the kind {kind!r} failed", hint=_ADVICE[kind]
    )


def _refused(
    exc: ClientAuthenticationError, *, kind: str, tenant: str | None
) -> kit.KsmStorageError:
    if _last_status(exc) >= 500 or any(isinstance(link, _UNREACHED) for link in kit.chain_of(exc)):
        return _unreachable(exc)
    number = _number(exc)
    # What is no JSON does not come from Entra ID.
    if kind in _ASK_ENTRA and any(isinstance(link, ValueError) for link in kit.chain_of(exc)):
        return kit.UnavailableError(
            "invalid reply from the service that issues the Azure credentials",
            hint="check the proxy between this host and Microsoft Entra ID, and 'authority_host'",
        )
    message, hint = ENTRA_CODES.get(
        number or 0,
        (
            f"the Azure credentials of the kind {kind!r} were rejected",
            _ADVICE[kind] + _of(tenant),
        ),
    )
    shown = f" (AADSTS{number})" if number else ""
    trace = _TRACE_ID.search(str(exc))
    return kit.AuthenticationError(
        f"{message}{shown}", hint=hint, request_id=trace[1] if trace else None
    )


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


def _unreachable(exc: Exception) -> kit.KsmStorageError:
    rule = kit.rule_for_failure(exc, _NAMES) or _UNREACHABLE
    return rule.error(kit.Call("GetToken", "", "Microsoft Entra ID"))


def _number(exc: Any) -> int | None:
    match = _NUMBER.search(str(exc))
    return int(match[1]) if match else None

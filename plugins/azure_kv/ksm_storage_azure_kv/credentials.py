"""Make the credentials that the settings choose. Importing this module imports the client."""

from __future__ import annotations

import math
from typing import Any

from azure import identity
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError

from .options import CredentialChoice
from .transport import DeadlineTransport

# At most this many commands are run one after the other: az, pwsh, azd.
_COMMANDS = 3


def make_credential(
    choice: CredentialChoice, transport: DeadlineTransport, *, seconds: float
) -> Any:
    """Return a credential of azure-identity; nothing is called yet.

    Raises:
        ValueError: A part is missing or unusable; its text may show it.
        OSError: A file cannot be read.
    """
    common: dict[str, Any] = {"transport": transport}
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

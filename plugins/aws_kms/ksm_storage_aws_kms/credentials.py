"""The credentials of the AWS client: its helpers, the role of the options, and what fails where."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ksm_storage import plugin as kit

from .hooks import Access

_Result = TypeVar("_Result")

# By the source of the credentials, as the AWS client names it: what its failures mean that no
# table names.
CREDENTIAL_SOURCES: Mapping[str, tuple[str, str]] = {
    "env": (
        "the AWS_* variables hold incomplete credentials",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN if the key is "
        "temporary; check AWS_CREDENTIAL_EXPIRATION",
    ),
    "shared-credentials-file": (
        "the shared credentials file holds incomplete AWS credentials{detail}",
        "set aws_access_key_id and aws_secret_access_key in ~/.aws/credentials, or in the file "
        "that AWS_SHARED_CREDENTIALS_FILE names",
    ),
    "config-file": (
        "the AWS config file holds incomplete credentials{detail}",
        "set aws_access_key_id and aws_secret_access_key in ~/.aws/config, or in the file that "
        "AWS_CONFIG_FILE names",
    ),
    "custom-process": (
        "the credential_process of the AWS profile failed or printed no valid credentials{detail}",
        "run the program by hand: it must print a JSON object with Version 1, AccessKeyId, "
        "SecretAccessKey and an Expiration that has not passed",
    ),
    "sso": (
        "no valid AWS SSO session{detail}",
        "run: aws sso login; check the sso_* settings of the profile",
    ),
    "login": (
        "no valid AWS sign-in session{detail}",
        "run: aws login; with older AWS clients: pip install 'botocore[crt]'",
    ),
    "assume-role": (
        "cannot assume the role of the AWS profile{detail}",
        "check role_arn, and source_profile or credential_source, in the AWS config file",
    ),
    "assume-role-with-web-identity": (
        "no valid web identity token{detail}",
        "check the file that AWS_WEB_IDENTITY_TOKEN_FILE or web_identity_token_file names, and "
        "AWS_ROLE_ARN",
    ),
    "ksm-storage-role": (
        "cannot assume the role of the option 'role_arn'",
        "check the options 'role_arn', 'external_id' and 'role_session_name'",
    ),
    "container-role": (
        "the credential service of the container gave no valid credentials",
        "check AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN and "
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, and that no proxy answers in its place",
    ),
    "iam-role": (
        "the instance metadata service gave no valid credentials",
        "check that the host has a role, AWS_EC2_METADATA_SERVICE_ENDPOINT, and that no proxy "
        "answers in its place",
    ),
}
ANY_SOURCE = (
    "cannot read the AWS credentials",
    "check the AWS_* variables and the AWS files; for SSO: aws sso login",
)

_WEB_IDENTITY_REJECTED = (
    "AWS rejected the web identity token ({detail})",
    "check that the identity provider is registered in IAM with the token's issuer and audience",
)
_NO_SSO_ROLE = (
    "the AWS SSO session gives no access to the account or role of the profile",
    "check sso_account_id and sso_role_name, and the assignment of the permission set",
)
# By operation and code: what the services that issue credentials mean by it.
CREDENTIAL_REFUSALS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("AssumeRole", "AccessDenied"): (
        "not allowed to assume the role, or the role does not exist ({permission})",
        "check the ARN of the role, its trust policy and its external id, and the caller's "
        "policies",
    ),
    ("AssumeRoleWithWebIdentity", "AccessDenied"): (
        "the web identity is not allowed to assume the role, or the role does not exist "
        "({permission})",
        "check AWS_ROLE_ARN, and issuer, audience and subject in the role's trust policy",
    ),
    ("AssumeRoleWithWebIdentity", "ExpiredToken"): (
        "the web identity token has expired",
        "check what renews the file that AWS_WEB_IDENTITY_TOKEN_FILE names, and the clock of "
        "this host",
    ),
    ("AssumeRoleWithWebIdentity", "InvalidIdentityToken"): _WEB_IDENTITY_REJECTED,
    ("AssumeRoleWithWebIdentity", "IDPRejectedClaim"): _WEB_IDENTITY_REJECTED,
    ("GetRoleCredentials", "Unauthorized"): (
        "the AWS SSO session has expired or was revoked",
        "run: aws sso login",
    ),
    ("GetRoleCredentials", "Forbidden"): _NO_SSO_ROLE,
    ("GetRoleCredentials", "ResourceNotFound"): _NO_SSO_ROLE,
    ("GetRoleCredentials", "AccessDenied"): _NO_SSO_ROLE,
}


class MalformedCredentialsError(Exception):
    """Report credentials that hold a line end, a blank or another character none of them has."""


class CredentialSourceError(Exception):
    """Report that credentials failed, and their source as the AWS client names it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source


def isolate_helpers(resolver: Any, session: Any) -> None:
    """Keep helpers and prompts off our standard input, and have each source name its failures."""
    # The AWS client would have a credential_process read our standard input, and ask for an MFA
    # code there. It has no public way to say otherwise; a test holds it to these names.
    from botocore.credentials import ProcessProvider
    from botocore.utils import FileWebIdentityTokenLoader

    class TokenFile(FileWebIdentityTokenLoader):
        def __init__(self, path: str) -> None:
            super().__init__(path)
            self._path = path

        def __call__(self) -> Any:
            _refuse_pipe(self._path)
            return super().__call__()

    def process_provider(profile: str) -> Any:
        return ProcessProvider(profile, lambda: session.full_config, popen=kit.start_helper)

    def web_provider(create: Callable[..., Any]) -> Callable[..., Any]:
        def created(*given: Any, **named: Any) -> Any:
            provider = create(*given, **named)
            provider._token_loader_cls = TokenFile
            return provider

        return created

    for provider in resolver.providers:
        provider.load = _naming_its_source(provider.load, str(provider.METHOD))
        if hasattr(provider, "_popen"):
            provider._popen = kit.start_helper
        if hasattr(provider, "_prompter"):
            provider._prompter = kit.ask_person
        if hasattr(provider, "_token_loader_cls"):
            provider._token_loader_cls = TokenFile
        builder = getattr(provider, "_profile_provider_builder", None)
        if builder is not None:
            builder._create_process_provider = process_provider
            builder._create_web_identity_provider = web_provider(
                builder._create_web_identity_provider
            )


def _refuse_pipe(path: str) -> None:
    # The client would wait for somebody to write into it.
    if os.path.exists(path) and not os.path.isfile(path):
        raise kit.SettingsError(
            f"the web identity token file {kit.shown_path(path)} is not a regular file",
            hint=CREDENTIAL_SOURCES["assume-role-with-web-identity"][1],
        )


def _naming_its_source(load: Callable[[], _Result], source: str) -> Callable[[], _Result]:
    # Much of what the client's sources raise, a KeyError or a ValueError, does not say where.
    def named() -> _Result:
        try:
            return load()
        except kit.KsmStorageError:
            raise
        except Exception as exc:
            raise CredentialSourceError(source) from exc

    return named


def assumed_role(session: Any, source: Any, access: Access, *, arn: str) -> Any:
    """Return a resolver whose credentials are the role's; STS is called when they are needed."""
    from botocore import credentials as sdk

    class RoleProvider(sdk.CredentialProvider):
        METHOD = "ksm-storage-role"
        CANONICAL_NAME = None

        def load(self) -> Any:
            own = source.load_credentials()
            if own is None:
                return None
            arguments = {"RoleSessionName": access.role_session_name}
            if access.external_id is not None:
                arguments["ExternalId"] = access.external_id
            fetcher = sdk.AssumeRoleCredentialFetcher(
                session.create_client, own, arn, extra_args=arguments
            )
            return sdk.DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

    return sdk.CredentialResolver([RoleProvider(session)])


def require(session: Any) -> None:
    """Find the credentials, once.

    Raises:
        CredentialSourceError: The source that has them cannot give them.
        NoCredentialsError, MalformedCredentialsError: There are none, or they cannot be sent.
    """
    from botocore.exceptions import NoCredentialsError

    credentials = session.get_credentials()
    if credentials is None:
        # Else the whole chain, with its waits, would be gone through again.
        raise NoCredentialsError
    read = _naming_its_source(credentials.get_frozen_credentials, str(credentials.method))
    # They become headers, where a line end would look like a connection that is cut off.
    if not all(part is None or _is_well_formed(part) for part in read()[:3]):
        raise MalformedCredentialsError


def _is_well_formed(part: object) -> bool:
    if not isinstance(part, str) or not part.isascii() or not part.isprintable():
        return False
    return not any(mark in part for mark in " \"'")


def source_of(exc: Exception) -> str | None:
    """Return the source whose credentials failed; the innermost, where a role uses another."""
    named: list[Any] = []
    for link in kit.chain_of(exc):
        # Any exception may be there, with attributes of these names that hold something else.
        arguments = getattr(link, "kwargs", None)
        provider = arguments.get("provider") if isinstance(arguments, dict) else None
        named += [getattr(link, "source", None), provider]
    texts = (name for name in reversed(named) if isinstance(name, str))
    return next((name for name in texts if name in CREDENTIAL_SOURCES), None)

"""The session of the AWS client: its network, credentials and helpers, and what fails where."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
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


def session_of(access: Access) -> Any:
    """Return a session of the AWS client by our settings and rules; nothing is sent.

    Raises:
        SettingsError: A setting cannot be used.
    """
    import botocore.session
    from botocore.config import Config

    connection = access.connection
    session: Any = botocore.session.Session(profile=access.profile)
    loader = _shared_loader(session.get_config_variable("data_path"))
    session.register_component("data_loader", loader)
    # An attribute, so that the clients of STS and SSO, which the session makes, follow it too.
    ca_file = access.authorities(session.get_config_variable("ca_bundle"))
    session.create_client = _by_network_rule(session.create_client, ca_file)
    # botocore itself reads AWS_DEFAULT_REGION only; every other SDK of AWS reads this one first.
    region = access.region or os.environ.get("AWS_REGION") or None
    if region is not None and not re.fullmatch(r"[A-Za-z0-9-]{1,63}", region):
        raise kit.SettingsError(
            f"not a valid region name: {region!r}", hint="check the option 'region' and AWS_REGION"
        )
    # As the session's defaults these hold for the clients of STS and SSO too.
    settings = {
        "region": region,
        "metadata_service_timeout": access.metadata_timeout,
        "metadata_service_num_attempts": access.metadata_attempts,
    }
    for name, value in settings.items():
        if value is not None:
            session.set_config_variable(name, value)
    session.set_default_client_config(
        Config(
            connect_timeout=connection.connect_timeout,
            read_timeout=connection.read_timeout,
            retries={"mode": "standard"},
        )
    )
    events = session.get_component("event_emitter")
    # More specific than the client's own handler, and so asked before it: the first answer counts.
    events.register_first("needs-retry.*.*", _retry_limit(connection.attempt))
    for operation in ("Sign", "CreateKey"):  # KMS might sign twice, or make a second key
        events.register_first(f"needs-retry.*.{operation}", lambda **_: False)
    source = session.get_component("credential_provider")
    isolate_helpers(source, session)
    if access.role_arn is not None:
        provider = assumed_role(session, source, access, arn=access.role_arn)
        session.register_component("credential_provider", provider)
    return session


@lru_cache(maxsize=4)
def _shared_loader(data_path: str | None) -> Any:
    # Reading and parsing its descriptions of services is four fifths of what a client costs, and
    # a command over many files makes one for each (docs/decisions/0101-aws-client.md). What is
    # kept is what lies in the SDK's files, nothing of a caller.
    from botocore.loaders import create_loader

    return create_loader(data_path)


def client_of(session: Any, access: Access, service: str) -> Any:
    """Return the client of a service, KMS or STS."""
    client = session.create_client(
        service, region_name=access.region, endpoint_url=access.connection.endpoint
    )
    # It may have come from the AWS configuration.
    kit.validate_endpoint(client.meta.endpoint_url, named="the endpoint of KMS")
    return client


def _by_network_rule(create: Callable[..., Any], ca_file: str | None) -> Callable[..., Any]:
    """Return the session's ``create_client`` with our proxy and authorities, for each service.

    The AWS client knows no ALL_PROXY, no network in NO_PROXY, and no folder of authorities.
    """
    from botocore.config import Config
    from botocore.utils import get_environ_proxies

    if ca_file is not None and os.path.isdir(ca_file):
        ca_file = _bundle_of(ca_file, os.getpid())

    def create_client(service: str, *positional: Any, **named: Any) -> Any:
        if named.get("verify") is None:
            named["verify"] = ca_file
        client = create(service, *positional, **named)
        endpoint = client.meta.endpoint_url
        proxies = kit.proxies_for(endpoint)
        if proxies == get_environ_proxies(endpoint):
            return client
        client.close()
        given, own = named.pop("config", None), Config(proxies=proxies)
        return create(service, *positional, **named, config=given.merge(own) if given else own)

    return create_client


@lru_cache(maxsize=4)
def _bundle_of(folder: str, process: int) -> str:
    """Return a file of this process with the certificates of a folder; it is removed at its end."""
    import atexit
    import tempfile
    from pathlib import Path

    descriptor, path = tempfile.mkstemp(prefix="ksm-storage-ca-", suffix=".pem")
    with open(descriptor, "wb") as file:
        file.write(kit.certificates_of(folder))

    def remove() -> None:
        # A fork inherits this, and its parent still needs the file.
        if os.getpid() == process:
            Path(path).unlink(missing_ok=True)

    atexit.register(remove)
    return path


def _retry_limit(attempt_seconds: float) -> Callable[..., bool | None]:
    """Return a handler of ``needs-retry`` that vetoes what fails again or ends after the deadline.

    The AWS client bounds the number of attempts and the time of each, not the time of all.
    """

    def veto(
        *, attempts: int, response: Any = None, caught_exception: Any = None, **_: object
    ) -> bool | None:
        if caught_exception is not None and kit.is_final_failure(caught_exception):
            return False
        deadline = kit.current_deadline()
        # Standard mode: at most 1 s, doubled with each attempt; up to 5 s more where KMS asks for
        # it. Source: AWS SDKs and Tools Reference Guide, "Retry behavior".
        pause = float(min(2 ** (attempts - 1), 20))
        if response is not None and "x-amz-retry-after" in response[0].headers:
            pause += 5.0
        # None leaves the decision to the client.
        fits = deadline is None or deadline.allows(pause + attempt_seconds)
        return None if fits else False

    return veto


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

"""The hooks of the provider ``gcp-kms``: its options and the names of its keys; no client.

A key is named ``projects/P/locations/L/keyRings/R/cryptoKeys/K``, optionally followed by a version.
Source: Cloud KMS documentation, "Getting a Cloud KMS resource ID".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from ksm_storage import plugin as kit

# Cloud KMS's own words for what a key does: its CryptoKeyPurpose.
SYMMETRIC = "ENCRYPT_DECRYPT"
RAW = "RAW_ENCRYPT_DECRYPT"
ASYMMETRIC = "ASYMMETRIC_DECRYPT"
PURPOSES = (SYMMETRIC, RAW, ASYMMETRIC)

DEFAULT = "default"
SERVICE_ACCOUNT = "service-account"
IMPERSONATION = "impersonation"
METADATA = "metadata"

CREDENTIALS = {
    DEFAULT: kit.CredentialKind(optional=("credentials_file",)),
    SERVICE_ACCOUNT: kit.CredentialKind(needed=("credentials_file",)),
    IMPERSONATION: kit.CredentialKind(
        needed=("impersonate_service_account",), optional=("credentials_file",)
    ),
    METADATA: kit.CredentialKind(),
}

PUBLIC_ENDPOINT = "https://cloudkms.googleapis.com"
PUBLIC_IAM_ENDPOINT = "https://iamcredentials.googleapis.com"

# Those that the client asks for by itself. IAM Credentials and the exchange of foreign tokens do
# not take the second alone.
SCOPES = (
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/cloudkms",
)

# Source: the reference of CryptoKeyVersionAlgorithm.
SYMMETRIC_ALGORITHM = "GOOGLE_SYMMETRIC_ENCRYPTION"

NAMES = kit.KeyNames(
    r"(?P<key>projects/(?P<project>[a-z0-9][a-z0-9.:-]*)/locations/(?P<location>[a-z][a-z0-9-]*)"
    r"/keyRings/(?P<ring>[A-Za-z0-9_-]{1,63})/cryptoKeys/(?P<name>[A-Za-z0-9_-]{1,63}))"
    r"(?:/cryptoKeyVersions/(?P<version>[1-9][0-9]{0,9}))?",
    noun="Cloud KMS key",
    hint="write projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, and "
    "/cryptoKeyVersions/N for one version",
    separator="/cryptoKeyVersions/",
)


@kit.hookimpl
def key_wrapper_options() -> Sequence[kit.Option]:
    """Declare how Cloud KMS is reached and which credentials are used."""
    return [
        kit.Option("purpose", "Purpose of the key.", default=SYMMETRIC, choices=PURPOSES),
        kit.Option(
            "credential", "Kind of credentials.", default=DEFAULT, choices=tuple(CREDENTIALS)
        ),
        kit.Option("credentials_file", "JSON file with the credentials to use."),
        kit.Option("impersonate_service_account", "E-mail address of the account to impersonate."),
        kit.Option("quota_project", "Project whose quota the calls count against."),
        kit.Option("endpoint", "URL of Cloud KMS.", default=PUBLIC_ENDPOINT),
        kit.Option("iam_endpoint", "URL of IAM Credentials.", default=PUBLIC_IAM_ENDPOINT),
        *kit.standard_options("Cloud KMS", without=("endpoint", "connect_timeout", "read_timeout")),
        kit.Option("attempt_timeout", "Seconds for one attempt.", kind=float, default=6.0),
        kit.Option("credential_timeout", "Seconds to get credentials.", kind=float, default=6.0),
        kit.direct_call_option("Cloud KMS"),
    ]


@kit.hookimpl
def open_key_wrapper(key_id: str, settings: kit.Settings) -> kit.KeyWrapper:
    """Open the key wrapper of one key; the client is made when it is first used."""
    from .client import KmsClient
    from .key_wrapper import GcpKmsKeyWrapper

    name, client = NAMES.parse(key_id), KmsClient(Access.from_settings(settings))
    return GcpKmsKeyWrapper(name, client, purpose=settings.required_text("purpose"))


@kit.hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the resource name of a key or of a key version."""
    return text if NAMES.find(text) else None


@kit.hookimpl
def key_covers(trusted: str, key_id: str) -> bool:
    """Let a key without version stand for each of its versions."""
    return NAMES.covers(trusted, key_id)


@kit.hookimpl
def newest_version(key_id: str, algorithm: str) -> str | None:
    """Wrap anew by the key without version, if it has a primary one."""
    # Only symmetric keys have a primary version; other keys wrap by the name of a version alone.
    return NAMES.newest_version(key_id) if algorithm == SYMMETRIC_ALGORITHM else None


class Access(NamedTuple):
    """Hold how Cloud KMS is reached, and by whom."""

    connection: kit.Connection
    credential: str
    credentials_file: str | None
    impersonated: str | None
    quota_project: str | None
    endpoint: str
    iam_endpoint: str
    attempt_timeout: float
    credential_timeout: float
    may_call_directly: bool

    @property
    def target(self) -> str:
        """Host and port of Cloud KMS, as gRPC wants them."""
        parts = urlsplit(self.endpoint)
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
        return f"{host}:{parts.port or (443 if self.is_encrypted else 80)}"

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection is TLS; otherwise it does not leave this machine."""
        return not kit.is_plain_http(self.endpoint)

    @classmethod
    def from_settings(cls, settings: kit.Settings) -> Access:
        """Check the settings and return the access that they describe.

        Raises:
            SettingsError: A setting cannot be used.
        """
        kind = kit.credential_kind(settings, CREDENTIALS)
        account = settings.text("impersonate_service_account")
        if account is not None and not _is_address(account):
            raise kit.SettingsError(f"not a valid e-mail address of a service account: {account!r}")
        return cls(
            connection=kit.Connection.from_settings(settings).trusting(
                # gRPC's own.
                "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
            ),
            credential=kind,
            credentials_file=settings.file("credentials_file"),
            impersonated=account,
            quota_project=settings.text("quota_project"),
            endpoint=_host(settings, "endpoint"),
            iam_endpoint=_host(settings, "iam_endpoint"),
            attempt_timeout=settings.seconds("attempt_timeout"),
            credential_timeout=settings.seconds("credential_timeout"),
            may_call_directly=settings.flag("direct_call"),
        )


def _is_address(text: str) -> bool:
    # It becomes part of a URL: nothing that could end or change its path.
    name, at, domain = text.partition("@")
    return bool(name and at and domain) and not set(text) & set("/?#%: \\")


def _host(settings: kit.Settings, name: str) -> str:
    url = kit.endpoint_setting(settings, name) or settings.required_text(name)
    if urlsplit(url).path:
        raise kit.SettingsError(f"the setting {name!r} must be a URL without a path")
    return url

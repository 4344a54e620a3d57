"""The options of the plugin, and the access that the given settings describe."""

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


def declared_options() -> Sequence[kit.Option]:
    """Return every option that the plugin understands."""
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
    ]


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


def access_from(settings: kit.Settings) -> Access:
    """Check the settings and return the access that they describe.

    Raises:
        SettingsError: A setting cannot be used.
    """
    kind = kit.credential_kind(settings, CREDENTIALS)
    account = settings.text("impersonate_service_account")
    if account is not None and not _is_address(account):
        raise kit.SettingsError(f"not a valid e-mail address of a service account: {account!r}")
    return Access(
        connection=kit.Connection.from_settings(settings),
        credential=kind,
        credentials_file=settings.file("credentials_file"),
        impersonated=account,
        quota_project=settings.text("quota_project"),
        endpoint=_host(settings, "endpoint"),
        iam_endpoint=_host(settings, "iam_endpoint"),
        attempt_timeout=settings.seconds("attempt_timeout"),
        credential_timeout=settings.seconds("credential_timeout"),
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

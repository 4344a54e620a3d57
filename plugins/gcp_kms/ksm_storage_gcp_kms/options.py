"""The options of the plugin, and the connection that the given settings describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from ksm_storage.plugin import Option, Settings, SettingsError, validate_endpoint

# Cloud KMS's own words for what a key does: its CryptoKeyPurpose.
SYMMETRIC = "ENCRYPT_DECRYPT"
RAW = "RAW_ENCRYPT_DECRYPT"
ASYMMETRIC = "ASYMMETRIC_DECRYPT"
PURPOSES = (SYMMETRIC, RAW, ASYMMETRIC)

DEFAULT = "default"
SERVICE_ACCOUNT = "service-account"
IMPERSONATION = "impersonation"
METADATA = "metadata"
CREDENTIALS = (DEFAULT, SERVICE_ACCOUNT, IMPERSONATION, METADATA)

PUBLIC_ENDPOINT = "https://cloudkms.googleapis.com"
PUBLIC_IAM_ENDPOINT = "https://iamcredentials.googleapis.com"


def declared_options() -> Sequence[Option]:
    """Return every option that the plugin understands."""
    return [
        Option("purpose", "Purpose of the key.", default=SYMMETRIC, choices=PURPOSES),
        Option("credential", "Kind of credentials.", default=DEFAULT, choices=CREDENTIALS),
        Option("credentials_file", "JSON file of the credentials to use."),
        Option("impersonate_service_account", "E-mail address of the account to impersonate."),
        Option("quota_project", "Project whose quota the calls count against."),
        Option("endpoint", "URL of Cloud KMS.", default=PUBLIC_ENDPOINT),
        Option("iam_endpoint", "URL of IAM Credentials.", default=PUBLIC_IAM_ENDPOINT),
        Option("ca_file", "PEM file of the authorities to trust for TLS."),
        Option("attempt_timeout", "Seconds for one attempt.", kind=float, default=6.0),
        Option("deadline", "Seconds for a call with all its retries.", kind=float, default=20.0),
        Option("credential_timeout", "Seconds to get credentials.", kind=float, default=6.0),
    ]


class Connection(NamedTuple):
    """Hold how Cloud KMS is reached, and by whom."""

    credential: str
    credentials_file: str | None
    impersonated: str | None
    quota_project: str | None
    endpoint: str
    iam_endpoint: str
    ca_file: str | None
    attempt_timeout: float
    deadline: float
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
        return urlsplit(self.endpoint).scheme == "https"


def connection_from(settings: Settings) -> Connection:
    """Check the settings and return the connection that they describe.

    Raises:
        SettingsError: A setting cannot be used.
    """
    seconds = {
        name: settings.seconds(name)
        for name in ("attempt_timeout", "deadline", "credential_timeout")
    }
    _check_credential(settings)
    return Connection(
        credential=settings.required_text("credential"),
        credentials_file=settings.file("credentials_file"),
        impersonated=settings.text("impersonate_service_account"),
        quota_project=settings.text("quota_project"),
        endpoint=_endpoint(settings, "endpoint"),
        iam_endpoint=_endpoint(settings, "iam_endpoint"),
        ca_file=settings.authorities("ca_file"),
        **seconds,
    )


def _check_credential(settings: Settings) -> None:
    kind = settings.required_text("credential")
    file, account = settings.text("credentials_file"), settings.text("impersonate_service_account")
    if kind == SERVICE_ACCOUNT and file is None:
        raise SettingsError(f"the credential {kind!r} needs the setting 'credentials_file'")
    if kind == METADATA and file is not None:
        raise SettingsError(f"the credential {kind!r} takes no 'credentials_file'")
    if (kind == IMPERSONATION) != (account is not None):
        raise SettingsError(
            "the credential 'impersonation' and the setting 'impersonate_service_account' "
            "go together"
        )
    if account is not None and not _is_address(account):
        raise SettingsError(f"{account!r} is not the e-mail address of a service account")


def _is_address(text: str) -> bool:
    # It becomes part of a URL: nothing that could end or change its path.
    name, at, domain = text.partition("@")
    return bool(name and at and domain) and not set(text) & set("/?#%: \\")


def _endpoint(settings: Settings, name: str) -> str:
    url = settings.required_text(name)
    validate_endpoint(url, named=f"the setting {name!r}")
    if urlsplit(url).path not in ("", "/"):
        raise SettingsError(f"the setting {name!r} is no http or https URL of a host alone")
    return url.rstrip("/")

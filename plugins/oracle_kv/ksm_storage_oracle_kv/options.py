"""The options of the plugin, and the connection that the given settings describe."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ksm_storage.plugin import Option, Settings, SettingsError, validate_endpoint

AES = "AES_256_GCM"
RSA = "RSA_OAEP_SHA_256"
ALGORITHMS = (AES, RSA)

CONFIG_FILE = "config-file"
SECURITY_TOKEN = "security-token"  # noqa: S105  # the name of a kind of credential
INSTANCE = "instance-principal"
RESOURCE = "resource-principal"
OKE = "oke-workload"

# Kind of credential -> the options that it may take.
_CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    CONFIG_FILE: ("config_file", "profile", "passphrase"),
    SECURITY_TOKEN: ("config_file", "profile", "passphrase"),
    INSTANCE: ("federation_endpoint",),
    RESOURCE: (),
    OKE: (),
}
_CREDENTIAL_OPTIONS = ("config_file", "profile", "passphrase", "federation_endpoint")
_REGION = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def declared_options() -> Sequence[Option]:
    """Return every option that the plugin understands."""
    return [
        Option(
            "credential",
            "Where the caller's credentials come from.",
            default=CONFIG_FILE,
            choices=tuple(_CREDENTIALS),
        ),
        Option("config_file", "Oracle's configuration file."),
        Option("profile", "Profile of that file."),
        Option("passphrase", "Passphrase of the profile's private key.", secret=True),
        Option("federation_endpoint", "URL that issues the token of an instance principal."),
        Option("region", "Region of the vault, in place of the one that the OCID names."),
        Option("endpoint", "URL of the vault's crypto endpoint, in place of the derived one."),
        Option(
            "management_endpoint",
            "URL of the vault's management endpoint, which only 'status' and 'doctor' ask.",
        ),
        Option("ca_file", "PEM file of the authorities to trust for TLS."),
        Option("connect_timeout", "Seconds to wait for a connection.", kind=float, default=3.0),
        Option("read_timeout", "Seconds to wait for a reply.", kind=float, default=6.0),
        Option("deadline", "Seconds for a call with all its retries.", kind=float, default=20.0),
        Option("credential_timeout", "Seconds to obtain credentials.", kind=float, default=10.0),
        Option("algorithm", "Algorithm of the key.", default=AES, choices=ALGORITHMS),
    ]


@dataclass(frozen=True, slots=True)
class CredentialChoice:
    """Hold which credentials are used; what is None is left to Oracle's client."""

    kind: str
    config_file: str | None
    profile: str | None
    federation_endpoint: str | None
    timeout: float
    # Called when it is needed and not before: the caller may have given a function.
    passphrase: Callable[[], str | None] = field(repr=False)


class Connection(NamedTuple):
    """Hold how the vault is reached."""

    credential: CredentialChoice
    region: str | None
    endpoint: str | None
    management_endpoint: str | None
    ca_file: str | None
    connect_timeout: float
    read_timeout: float
    deadline: float


def connection_from(settings: Settings) -> Connection:
    """Check the settings and return the connection that they describe.

    Raises:
        SettingsError: A setting cannot be used.
    """
    connect, read, deadline = (
        settings.seconds(name) for name in ("connect_timeout", "read_timeout", "deadline")
    )
    # One attempt must be able to end within the deadline.
    shortened = min(1.0, deadline / (connect + read))
    region = settings.text("region")
    if region is not None and not _REGION.fullmatch(region):
        raise SettingsError(f"the setting 'region' names no region: {region!r}")
    return Connection(
        credential=_credential(settings),
        region=region,
        endpoint=_url(settings, "endpoint"),
        management_endpoint=_url(settings, "management_endpoint"),
        ca_file=settings.authorities("ca_file"),
        connect_timeout=connect * shortened,
        read_timeout=read * shortened,
        deadline=deadline,
    )


def _credential(settings: Settings) -> CredentialChoice:
    kind = settings.required_text("credential")
    for name in _CREDENTIAL_OPTIONS:
        # Ignoring it would hide that the wrong kind was chosen.
        if settings.given(name) and name not in _CREDENTIALS[kind]:
            raise SettingsError(
                f"the setting {name!r} does not belong to credential {kind!r}",
                hint="see the option 'credential'",
            )
    return CredentialChoice(
        kind=kind,
        config_file=settings.text("config_file"),
        profile=settings.text("profile"),
        federation_endpoint=_url(settings, "federation_endpoint"),
        timeout=settings.seconds("credential_timeout"),
        passphrase=lambda: settings.text("passphrase"),
    )


def _url(settings: Settings, name: str) -> str | None:
    url = settings.text(name)
    if url is None:
        return None
    validate_endpoint(url, named=f"the setting {name!r}")
    return url.rstrip("/")

"""The options of the plugin, and the access that the given settings describe."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ksm_storage import plugin as kit

AES = "AES_256_GCM"
RSA = "RSA_OAEP_SHA_256"
ALGORITHMS = (AES, RSA)

CONFIG_FILE = "config-file"
SECURITY_TOKEN = "security-token"  # noqa: S105  # the name of a kind of credential
INSTANCE = "instance-principal"
RESOURCE = "resource-principal"
OKE = "oke-workload"

CREDENTIALS = {
    CONFIG_FILE: kit.CredentialKind(optional=("config_file", "profile", "passphrase")),
    SECURITY_TOKEN: kit.CredentialKind(optional=("config_file", "profile", "passphrase")),
    INSTANCE: kit.CredentialKind(optional=("federation_endpoint",)),
    RESOURCE: kit.CredentialKind(),
    OKE: kit.CredentialKind(),
}
_REGION = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def declared_options() -> Sequence[kit.Option]:
    """Return every option that the plugin understands."""
    return [
        kit.Option(
            "credential",
            "Kind of credentials.",
            default=CONFIG_FILE,
            choices=tuple(CREDENTIALS),
        ),
        kit.Option("config_file", "Oracle's configuration file."),
        kit.Option("profile", "Profile of that file."),
        kit.Option("passphrase", "Passphrase of the profile's private key.", secret=True),
        kit.Option("federation_endpoint", "URL that issues the token of an instance principal."),
        kit.Option("region", "Region of the vault, instead of the one in the OCID."),
        *kit.standard_options("the vault's crypto endpoint"),
        kit.Option(
            "management_endpoint",
            "URL of the vault's management endpoint, used by 'status' and 'doctor' only.",
        ),
        kit.Option(
            "credential_timeout", "Seconds to obtain credentials.", kind=float, default=10.0
        ),
        kit.Option("algorithm", "Algorithm of the key.", default=AES, choices=ALGORITHMS),
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


class Access(NamedTuple):
    """Hold how the vault is reached, and by whom."""

    connection: kit.Connection
    credential: CredentialChoice
    region: str | None
    management_endpoint: str | None


def access_from(settings: kit.Settings) -> Access:
    """Check the settings and return the access that they describe.

    Raises:
        SettingsError: A setting cannot be used.
    """
    region = settings.text("region")
    if region is not None and not _REGION.fullmatch(region):
        raise kit.SettingsError(f"the setting 'region' is not a region name: {region!r}")
    return Access(
        connection=kit.Connection.from_settings(settings),
        credential=CredentialChoice(
            kind=kit.credential_kind(settings, CREDENTIALS),
            config_file=settings.text("config_file"),
            profile=settings.text("profile"),
            federation_endpoint=kit.endpoint_setting(settings, "federation_endpoint"),
            timeout=settings.seconds("credential_timeout"),
            passphrase=lambda: settings.text("passphrase"),
        ),
        region=region,
        management_endpoint=kit.endpoint_setting(settings, "management_endpoint"),
    )

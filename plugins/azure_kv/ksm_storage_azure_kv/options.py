"""The options of the plugin, and the access that the given settings describe."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ksm_storage import plugin as kit

RSA = "RSA-OAEP-256"
AES = "A256GCM"
ALGORITHMS = (RSA, AES)

CREDENTIALS = {
    "default": kit.CredentialKind(optional=("client_id",)),
    "environment": kit.CredentialKind(),
    "managed-identity": kit.CredentialKind(optional=("client_id",)),
    "workload-identity": kit.CredentialKind(optional=("tenant_id", "client_id", "token_file")),
    "cli": kit.CredentialKind(optional=("tenant_id",)),
    "client-secret": kit.CredentialKind(needed=("tenant_id", "client_id", "client_secret")),
    "client-certificate": kit.CredentialKind(
        needed=("tenant_id", "client_id", "certificate_path"),
        optional=("certificate_password",),
    ),
}
_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@]+)):([0-9]{1,5})")
_HOST = re.compile(r"(?:https://)?([A-Za-z0-9.-]+(?::[0-9]{1,5})?)/?")


def declared_options() -> Sequence[kit.Option]:
    """Return every option that the plugin understands."""
    return [
        kit.Option(
            "credential",
            "Kind of credentials.",
            default="default",
            choices=tuple(CREDENTIALS),
        ),
        kit.Option("tenant_id", "Tenant of the application, or that the Azure CLI uses."),
        kit.Option("client_id", "Client id of the application or of the user-assigned identity."),
        kit.Option("client_secret", "Secret of the application.", secret=True),
        kit.Option("certificate_path", "PEM or PKCS#12 file of the application's RSA certificate."),
        kit.Option("certificate_password", "Password of that file.", secret=True),
        kit.Option("token_file", "File with the federated token of a workload identity."),
        kit.Option(
            "authority_host", "Host of Microsoft Entra ID, for another cloud or an emulator."
        ),
        kit.Option("dns_suffix", "DNS suffix of the vaults of another cloud."),
        kit.Option("connect_to", "HOST:PORT to connect to instead of the vault's own address."),
        *kit.standard_options("the vault", without=("endpoint",)),
        kit.Option(
            "credential_timeout", "Seconds to obtain credentials.", kind=float, default=10.0
        ),
        kit.Option(
            "algorithm", "Algorithm; without it, the vault's kind decides.", choices=ALGORITHMS
        ),
    ]


@dataclass(frozen=True, slots=True)
class CredentialChoice:
    """Hold which credentials are used; what is None is left to the Azure client."""

    kind: str
    tenant_id: str | None
    client_id: str | None
    certificate_path: str | None
    token_file: str | None
    authority: str | None
    # Called when they are needed and not before: the caller may have given functions.
    client_secret: Callable[[], str | None] = field(repr=False)
    certificate_password: Callable[[], str | None] = field(repr=False)


class Access(NamedTuple):
    """Hold how the vault is reached, and by whom."""

    connection: kit.Connection
    credential: CredentialChoice
    address: tuple[str, int] | None
    credential_timeout: float


def access_from(settings: kit.Settings) -> Access:
    """Check the settings and return the access that they describe.

    Raises:
        SettingsError: A setting cannot be used.
    """
    kind = kit.credential_kind(
        settings,
        CREDENTIALS,
        hint="set it as an option; only the credential 'environment' reads the AZURE_* variables",
    )
    return Access(
        connection=kit.Connection.from_settings(settings),
        credential=CredentialChoice(
            kind=kind,
            tenant_id=settings.text("tenant_id"),
            client_id=settings.text("client_id"),
            certificate_path=settings.file("certificate_path"),
            token_file=settings.text("token_file"),
            authority=_authority(settings.text("authority_host")),
            client_secret=lambda: settings.text("client_secret"),
            certificate_password=lambda: settings.text("certificate_password"),
        ),
        address=_address(settings.text("connect_to")),
        credential_timeout=settings.seconds("credential_timeout"),
    )


def _authority(given: str | None) -> str | None:
    if given is None:
        return None
    match = _HOST.fullmatch(given)
    if match is None:
        raise kit.SettingsError(
            # Not repeated, like the next one: it may be a URL with a password.
            "the setting 'authority_host' must be the name of a host",
            hint="for instance login.microsoftonline.us",
        )
    return f"https://{match[1]}"


def _address(given: str | None) -> tuple[str, int] | None:
    if given is None:
        return None
    match = _ADDRESS.fullmatch(given)
    if match is None or not 1 <= int(match[3]) <= 65_535:
        raise kit.SettingsError(
            "the setting 'connect_to' is not HOST:PORT",
            hint="for instance 10.0.0.5:443, or [fd00::5]:443",
        )
    return match[1] or match[2], int(match[3])

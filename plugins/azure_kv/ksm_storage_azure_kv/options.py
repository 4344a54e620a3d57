"""The options of the plugin, and the connection that the given settings describe."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ksm_storage.plugin import Option, Settings, SettingsError

RSA = "RSA-OAEP-256"
AES = "A256GCM"
ALGORITHMS = (RSA, AES)

# Kind of credential -> the options that it needs, and those that it may take besides.
_CREDENTIALS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "default": ((), ("client_id",)),
    "environment": ((), ()),
    "managed-identity": ((), ("client_id",)),
    "workload-identity": ((), ("tenant_id", "client_id", "token_file")),
    "cli": ((), ("tenant_id",)),
    "client-secret": (("tenant_id", "client_id", "client_secret"), ()),
    "client-certificate": (
        ("tenant_id", "client_id", "certificate_path"),
        ("certificate_password",),
    ),
}
_CREDENTIAL_OPTIONS = (
    "tenant_id",
    "client_id",
    "client_secret",
    "certificate_path",
    "certificate_password",
    "token_file",
)
_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@]+)):([0-9]{1,5})")
_HOST = re.compile(r"(?:https://)?([A-Za-z0-9.-]+(?::[0-9]{1,5})?)/?")


def declared_options() -> Sequence[Option]:
    """Return every option that the plugin understands."""
    return [
        Option(
            "credential",
            "Where the caller's credentials come from.",
            default="default",
            choices=tuple(_CREDENTIALS),
        ),
        Option("tenant_id", "Tenant of the application, or that the Azure CLI uses."),
        Option("client_id", "Client id of the application or of the user-assigned identity."),
        Option("client_secret", "Secret of the application.", secret=True),
        Option("certificate_path", "PEM or PKCS#12 file of the application's RSA certificate."),
        Option("certificate_password", "Password of that file.", secret=True),
        Option("token_file", "File with the federated token of a workload identity."),
        Option("authority_host", "Host of Microsoft Entra ID, for another cloud or an emulator."),
        Option("dns_suffix", "What follows the vault's name in the host, for another cloud."),
        Option("connect_to", "HOST:PORT to connect to in place of the vault's own address."),
        Option("ca_file", "PEM file of the authorities to trust for TLS."),
        Option("connect_timeout", "Seconds to wait for a connection.", kind=float, default=3.0),
        Option("read_timeout", "Seconds to wait for a reply.", kind=float, default=6.0),
        Option("deadline", "Seconds for a call with all its retries.", kind=float, default=20.0),
        Option("credential_timeout", "Seconds to obtain credentials.", kind=float, default=10.0),
        Option("algorithm", "Algorithm; without it, the vault's kind decides.", choices=ALGORITHMS),
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


class Connection(NamedTuple):
    """Hold how the vault is reached."""

    host: str
    credential: CredentialChoice
    address: tuple[str, int] | None
    ca_file: str | None
    connect_timeout: float
    read_timeout: float
    deadline: float
    credential_timeout: float


def connection_from(settings: Settings, *, host: str) -> Connection:
    """Check the settings and return the connection that they describe.

    Raises:
        SettingsError: A setting cannot be used.
    """
    return Connection(
        host=host,
        credential=_credential(settings),
        address=_address(settings.text("connect_to")),
        ca_file=settings.authorities("ca_file"),
        connect_timeout=settings.seconds("connect_timeout"),
        read_timeout=settings.seconds("read_timeout"),
        deadline=settings.seconds("deadline"),
        credential_timeout=settings.seconds("credential_timeout"),
    )


def _credential(settings: Settings) -> CredentialChoice:
    kind = settings.required_text("credential")
    needed, taken = _CREDENTIALS[kind]
    for name in _CREDENTIAL_OPTIONS:
        if name in needed and not settings.given(name):
            raise SettingsError(
                f"the setting {name!r} is missing for credential {kind!r}",
                hint="give it as an option; the AZURE_* variables are read by the credential "
                "'environment'",
            )
        # Ignoring it would hide that the wrong kind was chosen.
        if settings.given(name) and name not in needed + taken:
            raise SettingsError(
                f"the setting {name!r} does not belong to credential {kind!r}",
                hint="see the option 'credential'",
            )
    return CredentialChoice(
        kind=kind,
        tenant_id=settings.text("tenant_id"),
        client_id=settings.text("client_id"),
        certificate_path=settings.file("certificate_path"),
        token_file=settings.text("token_file"),
        authority=_authority(settings.text("authority_host")),
        client_secret=lambda: settings.text("client_secret"),
        certificate_password=lambda: settings.text("certificate_password"),
    )


def _authority(given: str | None) -> str | None:
    if given is None:
        return None
    match = _HOST.fullmatch(given)
    if match is None:
        raise SettingsError(
            # Not repeated, like the next one: it may be a URL with a password.
            "the setting 'authority_host' is no host reached by https",
            hint="for instance login.microsoftonline.us",
        )
    return f"https://{match[1]}"


def _address(given: str | None) -> tuple[str, int] | None:
    if given is None:
        return None
    match = _ADDRESS.fullmatch(given)
    if match is None or not 1 <= int(match[3]) <= 65_535:
        raise SettingsError(
            "the setting 'connect_to' is not HOST:PORT",
            hint="for instance 10.0.0.5:443, or [fd00::5]:443",
        )
    return match[1] or match[2], int(match[3])

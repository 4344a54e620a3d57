"""The hooks of the provider ``azure-kv``: its options and the names of its keys; no client.

A key is named ``https://VAULT/keys/NAME[/VERSION]``, the scheme being optional.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
_HOST = re.compile(r"(?:https://)?((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)/?")

HSM_SUFFIXES = (
    "managedhsm.azure.net",
    "managedhsm.azure.cn",
    "managedhsm.usgovcloudapi.net",
)
VAULT_SUFFIXES = (
    "vault.azure.net",
    "vault.azure.cn",
    "vault.usgovcloudapi.net",
)

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SUFFIX = re.compile(rf"{_LABEL}(?:\.{_LABEL})+", re.IGNORECASE)

NAMES = kit.KeyNames(
    rf"(?P<key>(?:https://)?(?P<host>{_LABEL}(?:\.{_LABEL})+)"
    r"/keys/(?P<name>[0-9A-Za-z-]{1,127}))(?:/(?P<version>[0-9a-f]{32}))?",
    noun="URL of a key in a vault or managed HSM",
    hint="write https://myvault.vault.azure.net/keys/NAME, and /VERSION to pin a version (32 "
    "hexadecimal digits)",
    normalise=lambda match: f"https://{match['host'].lower()}/keys/{match['name']}",
    # The service does not mind the case of a name.
    ignore_case=True,
)


@kit.hookimpl
def key_wrapper_options() -> Sequence[kit.Option]:
    """Declare how the vault is reached and which credentials are used."""
    return [
        kit.Option(
            "credential", "Kind of credentials.", default="default", choices=tuple(CREDENTIALS)
        ),
        kit.Option("tenant_id", "Tenant of the application, or that the Azure CLI uses."),
        kit.Option("client_id", "Client id of the application or of the user-assigned identity."),
        kit.Option("client_secret", "Secret of the application.", secret=True),
        kit.Option("certificate_path", "PEM or PKCS #12 file of the application's certificate."),
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
        kit.direct_call_option("the vault"),
        kit.Option(
            "algorithm", "Algorithm; without it, the vault's kind decides.", choices=ALGORITHMS
        ),
    ]


@kit.hookimpl
def open_key_wrapper(key_id: str, settings: kit.Settings) -> kit.KeyWrapper:
    """Open the key wrapper of one key; the client is made when it is first used."""
    from .client import VaultClient
    from .key_wrapper import AzureKeyWrapper

    name = NAMES.parse(key_id)
    require_suffix(name, settings.text("dns_suffix"))
    # Vaults hold no AES keys. A managed HSM holds both kinds, and only AES binds the AAD.
    algorithm = settings.text("algorithm") or (AES if is_hsm(name) else RSA)
    client = VaultClient(name, Access.from_settings(settings))
    return AzureKeyWrapper(name, client, algorithm=algorithm)


@kit.hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the URL of a key in a vault or managed HSM."""
    name = NAMES.find(text) if text.lower().startswith("https://") else None
    if name is None or host_of(name).partition(".")[2] not in VAULT_SUFFIXES + HSM_SUFFIXES:
        return None
    return str(name)


@kit.hookimpl
def key_covers(trusted: str, key_id: str) -> bool:
    """Let a key without version stand for each of its versions."""
    return NAMES.covers(trusted, key_id)


@kit.hookimpl
def newest_version(key_id: str) -> str | None:
    """Wrap anew by the key without version, which means the newest."""
    return NAMES.newest_version(key_id)


def host_of(name: kit.KeyName) -> str:
    """Return the vault's host in lower case, as in ``myvault.vault.azure.net``."""
    return name.parts["host"].lower()


def is_hsm(name: kit.KeyName) -> bool:
    """Tell whether the key lies in a managed HSM, as its host says."""
    return host_of(name).partition(".")[2].startswith("managedhsm.")


def require_suffix(name: kit.KeyName, suffix: str | None) -> None:
    """Refuse a host outside Azure, unless the caller's settings name its suffix.

    A key id may come from an envelope, and its author must not choose to which host this one
    sends its data key and its token.

    Raises:
        SettingsError: The host has another suffix.
    """
    if suffix is not None and not _SUFFIX.fullmatch(suffix):
        raise kit.SettingsError(f"the setting 'dns_suffix' is not a DNS name: {suffix!r}")
    own = host_of(name).partition(".")[2]
    if own in VAULT_SUFFIXES + HSM_SUFFIXES or (suffix and own == suffix.lower()):
        return
    raise kit.SettingsError(
        f"not a host of Azure Key Vault or Managed HSM: {host_of(name)!r}",
        hint="for another cloud, such as Azure Stack Hub, set the option 'dns_suffix' to what "
        "follows the vault's name",
    )


class CredentialChoice(NamedTuple):
    """Hold which credentials are used; the Azure client decides what is None."""

    kind: str
    tenant_id: str | None
    client_id: str | None
    certificate_path: str | None
    token_file: str | None
    authority: str | None
    # Called when they are needed and not before: the caller may have given functions.
    client_secret: Callable[[], str | None]
    certificate_password: Callable[[], str | None]

    def __repr__(self) -> str:
        # A function that a caller gave may say the secret in its own.
        return f"<CredentialChoice {self.kind}>"


class Access(NamedTuple):
    """Hold how the vault is reached, and by whom."""

    connection: kit.Connection
    credential: CredentialChoice
    address: tuple[str, int] | None
    credential_timeout: float
    may_call_directly: bool

    @classmethod
    def from_settings(cls, settings: kit.Settings) -> Access:
        """Check the settings and return the access that they describe.

        Raises:
            SettingsError: A setting cannot be used.
        """
        kind = kit.credential_kind(
            settings,
            CREDENTIALS,
            hint="set it as an option; only the credential 'environment' reads the AZURE_* "
            "variables",
        )
        return cls(
            connection=kit.Connection.from_settings(settings).trusting(),
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
            may_call_directly=settings.flag("direct_call"),
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

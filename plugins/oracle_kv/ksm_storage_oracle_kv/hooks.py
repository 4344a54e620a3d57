"""The hooks of the provider ``oracle-kv``: its options and the names of its keys; no client.

A key is named by its OCID, optionally followed by the OCID of a version:
``ocid1.key.REALM.REGION.VAULT.UNIQUE[/ocid1.keyversion.REALM.REGION.VAULT.UNIQUE]``. REGION is a
region's short name (``iad``) or its identifier (``ap-seoul-1``): OCIDs of both kinds exist.
Source: OCI documentation, "Resource Identifiers".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
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

_DEFAULT_FILE = "~/.oci/config"
_FROM_FILES = kit.CredentialKind(optional=("config_file", "profile", "passphrase"))
CREDENTIALS = {
    CONFIG_FILE: _FROM_FILES,
    SECURITY_TOKEN: _FROM_FILES,
    INSTANCE: kit.CredentialKind(optional=("federation_endpoint",)),
    RESOURCE: kit.CredentialKind(),
    OKE: kit.CredentialKind(),
}
_REGION = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")

# "OCIDs ... maximum length of 255 characters" in the API reference of every service.
_OCID = r"(?=[^/]{1,255}(?:/|\Z))"
_PLACE = r"(?P<realm>[a-z0-9]+)\.(?P<region>[a-z0-9-]+)\.(?P<vault>[a-z0-9]+)"

NAMES = kit.KeyNames(
    rf"(?P<key>{_OCID}ocid1\.key\.{_PLACE}\.[a-z0-9]+)"
    rf"(?:/(?P<version>{_OCID}ocid1\.keyversion\.[a-z0-9]+\.[a-z0-9-]+\.[a-z0-9]+\.[a-z0-9]+))?",
    noun="OCI vault key",
    hint="write the key's OCID, ocid1.key.oc1.REGION.VAULT.UNIQUE, and /ocid1.keyversion... to "
    "pin a version; not the OCID of the vault",
)


@kit.hookimpl
def key_wrapper_options() -> Sequence[kit.Option]:
    """Declare how the vault is reached and which credentials are used."""
    return [
        kit.Option(
            "credential", "Kind of credentials.", default=CONFIG_FILE, choices=tuple(CREDENTIALS)
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
        kit.direct_call_option("the vault"),
        kit.Option("algorithm", "Algorithm of the key.", default=AES, choices=ALGORITHMS),
    ]


@kit.hookimpl
def open_key_wrapper(key_id: str, settings: kit.Settings) -> kit.KeyWrapper:
    """Open the key wrapper of one key; the client is made when it is first used."""
    from .client import VaultClient
    from .key_wrapper import OracleKeyWrapper

    client = VaultClient(NAMES.parse(key_id), Access.from_settings(settings))
    return OracleKeyWrapper(client, algorithm=settings.required_text("algorithm"))


@kit.hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the OCID of a key."""
    return text if NAMES.find(text) else None


@kit.hookimpl
def key_covers(trusted: str, key_id: str) -> bool:
    """Let a key stand for each of its versions."""
    return NAMES.covers(trusted, key_id, versions_only=False)


@kit.hookimpl
def newest_version(key_id: str) -> str | None:
    """Wrap anew by the key without version, which means the current one."""
    name = NAMES.find(key_id)
    return None if name is None else name.key


class Access(NamedTuple):
    """Hold how the vault is reached, and by whom; Oracle's client decides what is None."""

    connection: kit.Connection
    region: str | None
    management_endpoint: str | None
    credential: str
    config_file: str | None
    profile: str | None
    federation_endpoint: str | None
    credential_timeout: float
    may_call_directly: bool
    # Called when it is needed and not before: the caller may have given a function.
    passphrase: Callable[[], str | None]

    def __repr__(self) -> str:
        # A function that a caller gave may say the passphrase in its own.
        return f"<Access to OCI Vault with {self.credential}>"

    def config_location(self) -> str:
        """Return the path of the configuration file, found in the order of Oracle's client."""
        if self.config_file is not None:
            return self.config_file
        if os.path.isfile(os.path.expanduser(_DEFAULT_FILE)):
            return _DEFAULT_FILE
        return os.environ.get("OCI_CONFIG_FILE") or _DEFAULT_FILE

    @classmethod
    def from_settings(cls, settings: kit.Settings) -> Access:
        """Check the settings and return the access that they describe.

        Raises:
            SettingsError: A setting cannot be used.
        """
        region = settings.text("region")
        if region is not None and not _REGION.fullmatch(region):
            raise kit.SettingsError(f"the setting 'region' is not a region name: {region!r}")
        return cls(
            connection=kit.Connection.from_settings(settings).trusting(),
            region=region,
            management_endpoint=kit.endpoint_setting(settings, "management_endpoint"),
            credential=kit.credential_kind(settings, CREDENTIALS),
            config_file=settings.text("config_file"),
            profile=settings.text("profile"),
            federation_endpoint=kit.endpoint_setting(settings, "federation_endpoint"),
            credential_timeout=settings.seconds("credential_timeout"),
            may_call_directly=settings.flag("direct_call"),
            passphrase=lambda: settings.text("passphrase"),
        )

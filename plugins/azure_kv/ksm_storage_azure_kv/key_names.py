"""The names of a key: ``https://VAULT/keys/NAME[/VERSION]``, the scheme being optional."""

from __future__ import annotations

import re

from ksm_storage import plugin as kit

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


def recognised(text: str) -> str | None:
    """Return the key id of a key's full URL in Azure, or None for any other text."""
    name = NAMES.find(text) if text.lower().startswith("https://") else None
    if name is None or host_of(name).partition(".")[2] not in VAULT_SUFFIXES + HSM_SUFFIXES:
        return None
    return str(name)

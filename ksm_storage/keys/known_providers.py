"""How the providers that this project knows are installed and name their keys, for messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ..errors import PluginNotFoundError, SettingsError
from .discovery import DISTRIBUTIONS

# The extra of ksm-storage that installs what is not built in.
_EXTRAS = {
    "ksm-storage-aws-kms": "aws",
    "ksm-storage-azure-kv": "azure",
    "ksm-storage-gcp-kms": "gcp",
    "ksm-storage-oracle-kv": "oracle",
    "ksm-storage-entrust-hsm": "hsm",
    "ksm-storage-tpm2": "tpm2",
    "ksm-storage-vault-transit": "vault-transit",
}

# How each provider writes the names of its keys, and of what holds them: the start of a regular
# expression.
NATIVE_NAMES = (
    (r"arn:aws[a-z-]*:kms:", "aws-kms"),
    (r"https://[^/]+\.(vault|managedhsm)\.[^/]+(/|\Z)", "azure-kv"),
    (r"projects/[^/]+/locations/[^/]+/keyRings/", "gcp-kms"),
    (r"ocid1\.(key|keyversion|vault)\.", "oracle-kv"),
    (r"pkcs11:", "pkcs11"),
)

# How such a name is written; for a hint.
_NATIVE_FORMS = {
    "aws-kms": "arn:aws:kms:REGION:ACCOUNT:key/ID",
    "azure-kv": "https://VAULT.vault.azure.net/keys/NAME or .../NAME/VERSION, without a port",
    "gcp-kms": "projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, "
    "and /cryptoKeyVersions/NUMBER for one version",
    "oracle-kv": "ocid1.key.REALM.REGION.VAULT.ID, the key's OCID and not the vault's",
    "pkcs11": "pkcs11:token=TOKEN;object=KEY, with %20 for a blank",
}


def refuse_native_name(text: str, find_plugin: Callable[[str], object]) -> None:
    """Refuse a native key name that no installed plugin recognises; let anything else pass.

    Raises:
        PluginError: The plugin for it is not installed, or broken.
        SettingsError: It is usable, and the name has a slip in it.
    """
    # In any case, and with blanks around it: one with a slip is still such a name.
    found = (name for form, name in NATIVE_NAMES if re.match(form, text.strip(), re.IGNORECASE))
    provider = next(found, None)
    if provider is None:
        return
    find_plugin(provider)
    raise SettingsError(
        f"not a valid key name for {provider!r}: {text!r}",
        hint=f"write {_NATIVE_FORMS[provider]}; check for capitals, blanks and a slash at the end",
    )


def install_hint(distribution: str) -> str:
    """Return how to install a distribution of this project, with a warning about its name."""
    return extra_install_hint(_EXTRAS.get(distribution))


def extra_install_hint(extra: str | None) -> str:
    """Return how to install ksm-storage with an extra, with a warning about its name."""
    wanted = f"'.[{extra}]'" if extra else "."
    # Whoever registers an unclaimed name on an index decides what an install by name runs.
    return f"in a clone of ksm-storage run: pip install {wanted}; the names are on no index yet"


def plugin_not_found(provider: str, installed: Iterable[str]) -> PluginNotFoundError:
    """Return the error for a provider that no plugin serves, with what to install as its hint."""
    distribution = DISTRIBUTIONS.get(provider)
    names = sorted(set(installed))
    if distribution is not None:
        hint = install_hint(distribution)
    elif provider in ("http", "https"):
        hint = "a key of Azure Key Vault is https://VAULT.vault.azure.net/keys/NAME"
    elif close := close_matches(provider, names, n=1):
        hint = f"did you mean {close[0]!r}?"
    else:
        hint = f"installed providers: {', '.join(names) or 'none'}; install the missing plugin"
    # Anything else may be a secret in the wrong place.
    shown = repr(provider) if re.fullmatch(r"[a-z0-9_-]{1,64}", provider) else "(not shown)"
    message = f"no plugin is installed for the provider {shown}"
    return PluginNotFoundError(message, hint=hint, provider=provider)


def close_matches(word: str, known: Sequence[str], *, n: int) -> list[str]:
    """Return the known words that are most like a mistyped one."""
    # Loaded for a mistake only: every start would pay for it otherwise.
    from difflib import get_close_matches

    return get_close_matches(word, known, n=n)

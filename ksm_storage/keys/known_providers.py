"""Which distribution brings which provider, for hints; nothing is loaded through this table."""

from __future__ import annotations

_DISTRIBUTIONS = {
    "aws-kms": "ksm-storage-aws-kms",
    "azure-kv": "ksm-storage-azure-kv",
    "gcp-kms": "ksm-storage-gcp-kms",
    "oracle-kv": "ksm-storage-oracle-kv",
    "pkcs11": "ksm-storage-entrust-hsm",
    "key-file": "ksm-storage",
    "os-keyring": "ksm-storage",
    "recovery": "ksm-storage",
}

_NATIVE_NAMES = (
    (r"arn:aws[a-z-]*:kms:", "aws-kms"),
    (r"https://[^/]+\.(vault|managedhsm)\.[^/]+/keys/", "azure-kv"),
    (r"projects/[^/]+/locations/[^/]+/keyRings/", "gcp-kms"),
    (r"ocid1\.key\.", "oracle-kv"),
    (r"pkcs11:", "pkcs11"),
)

_LOCAL = frozenset({"key-file", "os-keyring"})
_OFFLINE = frozenset({"recovery"})


def is_local(provider: str) -> bool:
    """Tell whether the provider answers without a network."""
    return provider in _LOCAL


def is_offline(provider: str) -> bool:
    """Tell whether the provider's keys unwrap only where somebody brought their secret."""
    return provider in _OFFLINE


def trying_rank(provider: str) -> int:
    """Return when a provider's recipients are tried: local ones first, offline ones last."""
    if is_local(provider):
        return 0
    return 2 if is_offline(provider) else 1


def distribution_for(provider: str) -> str | None:
    """Return the distribution of this project that offers the provider, or None."""
    return _DISTRIBUTIONS.get(provider)


def provider_for_native_name(text: str) -> str | None:
    """Return the provider whose own names look like the text, or None."""
    # Compiled here and not with the table: no start needs it, but the one that failed.
    import re

    return next((name for form, name in _NATIVE_NAMES if re.match(form, text)), None)

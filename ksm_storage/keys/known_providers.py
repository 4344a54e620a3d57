"""The providers that this project knows, installed or not; nothing is loaded through this table."""

from __future__ import annotations

# Which distribution to install for a provider.
DISTRIBUTIONS = {
    "aws-kms": "ksm-storage-aws-kms",
    "azure-kv": "ksm-storage-azure-kv",
    "gcp-kms": "ksm-storage-gcp-kms",
    "oracle-kv": "ksm-storage-oracle-kv",
    "pkcs11": "ksm-storage-entrust-hsm",
    "vault-transit": "ksm-storage-vault-transit",
    "key-file": "ksm-storage",
    "os-keyring": "ksm-storage",
    "recovery": "ksm-storage",
}

# How each provider writes the names of its keys, as the start of a regular expression.
NATIVE_NAMES = (
    (r"arn:aws[a-z-]*:kms:", "aws-kms"),
    (r"https://[^/]+\.(vault|managedhsm)\.[^/]+/keys/", "azure-kv"),
    (r"projects/[^/]+/locations/[^/]+/keyRings/", "gcp-kms"),
    (r"ocid1\.key\.", "oracle-kv"),
    (r"pkcs11:", "pkcs11"),
)

# Answer without a network.
LOCAL = frozenset({"key-file", "os-keyring"})

# Unwrap only where somebody has brought the secret.
OFFLINE = frozenset({"recovery"})

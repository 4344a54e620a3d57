"""The table behind the hints knows each provider, and each provider's own names."""

from __future__ import annotations

import pytest

from ksm_storage.keys.known_providers import (
    distribution_for,
    is_local,
    is_offline,
    provider_for_native_name,
    trying_rank,
)


@pytest.mark.parametrize(
    ("provider", "distribution"),
    [
        ("aws-kms", "ksm-storage-aws-kms"),
        ("azure-kv", "ksm-storage-azure-kv"),
        ("gcp-kms", "ksm-storage-gcp-kms"),
        ("oracle-kv", "ksm-storage-oracle-kv"),
        ("pkcs11", "ksm-storage-entrust-hsm"),
        ("key-file", "ksm-storage"),
        ("os-keyring", "ksm-storage"),
        ("recovery", "ksm-storage"),
        ("acme", None),
    ],
)
def test_a_provider_has_its_distribution(provider: str, distribution: str | None) -> None:
    assert distribution_for(provider) == distribution


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("arn:aws:kms:eu-west-1:111122223333:key/1234", "aws-kms"),
        ("arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/app", "aws-kms"),
        ("https://v.vault.azure.net/keys/k/0123", "azure-kv"),
        ("https://v.vault.azure.cn/keys/k", "azure-kv"),
        ("https://v.vault.usgovcloudapi.net/keys/k", "azure-kv"),
        ("https://h.managedhsm.azure.net/keys/k", "azure-kv"),
        ("projects/p/locations/global/keyRings/r/cryptoKeys/k", "gcp-kms"),
        ("ocid1.key.oc1.eu-frankfurt-1.vault.unique", "oracle-kv"),
        ("pkcs11:token=t;object=o", "pkcs11"),
        ("arn:aws:s3:::bucket", None),
        ("https://example.com/keys/k", None),
        ("client-config.json", None),
        ("", None),
    ],
)
def test_a_native_name_is_known_by_its_form(text: str, provider: str | None) -> None:
    assert provider_for_native_name(text) == provider


def test_only_the_built_in_providers_are_local() -> None:
    assert [name for name in ("key-file", "os-keyring", "aws-kms", "pkcs11") if is_local(name)] == [
        "key-file",
        "os-keyring",
    ]


def test_local_keys_are_tried_first_and_offline_ones_last() -> None:
    providers = ["recovery", "aws-kms", "os-keyring", "acme", "key-file"]

    assert sorted(providers, key=trying_rank) == [
        *("os-keyring", "key-file"),
        *("aws-kms", "acme"),
        "recovery",
    ]
    assert [name for name in providers if is_offline(name)] == ["recovery"]

"""The endpoint that follows from a key's OCID."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ksm_storage_oracle_kv.hooks import NAMES
from ksm_storage_oracle_kv.sdk_client import crypto_endpoint
from oci import regions

from ksm_storage.errors import SettingsError
from ksm_storage.plugin import KeyName

from .opening import AAD, open_kek
from .scripted_vault import DEK, KEY

# From the seal configurations and commands that users of the service publish, and from the
# realms' own domains.
KNOWN = {
    "oc1.iad.afnxza26aag4s": "https://afnxza26aag4s-crypto.kms.us-ashburn-1.oraclecloud.com",
    "oc1.ap-seoul-1.cnqtaqh2aagiu": "https://cnqtaqh2aagiu-crypto.kms.ap-seoul-1.oraclecloud.com",
    "oc1.fra.bjqmywdtaafak": "https://bjqmywdtaafak-crypto.kms.eu-frankfurt-1.oraclecloud.com",
    "oc2.us-luke-1.v": "https://v-crypto.kms.us-luke-1.oraclegovcloud.com",
    "oc3.ric.v": "https://v-crypto.kms.us-gov-ashburn-1.oraclegovcloud.com",
    "oc4.uk-gov-london-1.v": "https://v-crypto.kms.uk-gov-london-1.oraclegovcloud.uk",
    "oc19.eu-frankfurt-2.v": "https://v-crypto.kms.eu-frankfurt-2.oraclecloud.eu",
    # A region younger than the client, in a realm that it knows.
    "oc1.xx-tomorrow-1.v": "https://v-crypto.kms.xx-tomorrow-1.oraclecloud.com",
}
UNKNOWN = {
    "oc1.zzz.v": "the region 'zzz'",
    "oc999.xx-tomorrow-1.v": "the realm 'oc999'",
    "region1.sea.v": "'region1'|'sea'",
    "oc1.us-luke-1.v": "does not belong to the realm 'oc1'",
    "oc2.iad.v": "does not belong to the realm 'oc2'",
}


def _name(place: str) -> KeyName:
    return NAMES.parse(f"ocid1.key.{place}.abzwkljsbapzb2nrha5nt3s7s7p42ctcrcj72vn3kq5qx")


@pytest.mark.parametrize("place", KNOWN)
def test_a_known_region_gives_the_vaults_endpoint(place: str) -> None:
    assert crypto_endpoint(_name(place)) == KNOWN[place]


@pytest.mark.parametrize("short", sorted(regions.REGIONS_SHORT_NAMES))
def test_every_short_name_of_the_client_has_an_endpoint_in_its_realm(short: str) -> None:
    identifier = regions.REGIONS_SHORT_NAMES[short]
    realm = regions.REGION_REALMS[identifier]

    endpoint = crypto_endpoint(_name(f"{realm}.{short}.vault"))

    assert endpoint == f"https://vault-crypto.kms.{identifier}.{regions.REALMS[realm]}"


@pytest.mark.parametrize("place", UNKNOWN)
def test_an_unknown_region_or_realm_is_a_settings_error(place: str) -> None:
    with pytest.raises(SettingsError, match=UNKNOWN[place]):
        crypto_endpoint(_name(place))


def test_the_option_names_another_region_of_the_same_realm() -> None:
    endpoint = crypto_endpoint(_name("oc1.iad.v"), region="phx")

    assert endpoint == "https://v-crypto.kms.us-phoenix-1.oraclecloud.com"
    with pytest.raises(SettingsError, match="does not belong"):
        crypto_endpoint(_name("oc1.iad.v"), region="us-luke-1")


def test_a_dedicated_region_comes_from_the_clients_own_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metadata = {
        "realmKey": "oc777",
        "realmDomainComponent": "dedicated.example",
        "regionKey": "ded",
        "regionIdentifier": "xx-dedicated-1",
    }
    monkeypatch.setenv("OCI_REGION_METADATA", json.dumps(metadata))
    for table in ("REGIONS_SHORT_NAMES", "REGION_REALMS", "REALMS"):
        monkeypatch.setattr(regions, table, dict(getattr(regions, table)))
    monkeypatch.setattr(regions, "REGIONS", list(regions.REGIONS))
    read = dict.fromkeys(regions._has_been_read_external_sources, True)
    monkeypatch.setattr(
        regions,
        "_has_been_read_external_sources",
        {**read, regions.ExternalSources.ENV_VAR: False},
    )

    endpoint = crypto_endpoint(_name("oc777.ded.v"))

    assert endpoint == "https://v-crypto.kms.xx-dedicated-1.dedicated.example"


def test_an_unknown_region_is_told_before_anything_is_called(config_file: Path) -> None:
    key = KEY.replace(".iad.", ".zzz.")

    with open_kek(key) as kek, pytest.raises(SettingsError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert "'endpoint'" in str(caught.value.hint)

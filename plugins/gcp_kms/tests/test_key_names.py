"""The names of a key: which are read, and which stand for which."""

from __future__ import annotations

import pytest
from ksm_storage_gcp_kms import hooks
from ksm_storage_gcp_kms.hooks import NAMES

from ksm_storage.errors import SettingsError

RING = "projects/demo/locations/europe-west3/keyRings/apps"
KEY = f"{RING}/cryptoKeys/ksm"
V1, V2 = f"{KEY}/cryptoKeyVersions/1", f"{KEY}/cryptoKeyVersions/2"

VALID = (
    KEY,
    V1,
    KEY.replace("demo", "example.com:demo"),
    KEY.replace("demo", "123456789012"),
    KEY.replace("europe-west3", "global"),
)
INVALID = (
    "",
    RING,
    f"/{KEY}",
    f"{KEY}/",
    f"{KEY}/cryptoKeyVersions/",
    f"{KEY}/cryptoKeyVersions/0",
    f"{KEY}/cryptoKeyVersions/None",
    f"{V1}/more",
    f"//cloudkms.googleapis.com/{KEY}",
    KEY.replace("ksm", "k s"),
    KEY.replace("ksm", "k" * 64),
    f"{KEY}\n",
)


@pytest.mark.parametrize("text", VALID)
def test_a_name_is_read_and_written_the_same_and_recognised(text: str) -> None:
    assert str(NAMES.parse(text)) == text
    assert hooks.recognise_key(text) == text


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_name_is_refused_and_not_recognised(text: str) -> None:
    with pytest.raises(SettingsError, match="not a valid Cloud KMS key"):
        NAMES.parse(text)
    assert hooks.recognise_key(text) is None


@pytest.mark.parametrize(("trusted", "key_id"), [(KEY, V1), (KEY, V2), (V1, V1)])
def test_a_name_covers_the_versions_that_it_may_stand_for(trusted: str, key_id: str) -> None:
    assert hooks.key_covers(trusted, key_id) is True


@pytest.mark.parametrize(
    ("trusted", "key_id"),
    [
        (V1, V2),
        (f"{KEY}2", V1),
        (KEY, KEY),
        (V1, KEY),
        (KEY, "junk"),
        ("junk", V1),
        (KEY.replace("europe-west3", "global"), V1),
    ],
)
def test_a_name_does_not_cover_what_it_cannot_stand_for(trusted: str, key_id: str) -> None:
    assert hooks.key_covers(trusted, key_id) is False


@pytest.mark.parametrize(
    ("key_id", "algorithm", "newest"),
    [
        (V1, "GOOGLE_SYMMETRIC_ENCRYPTION", KEY),
        (V1, "AES_256_GCM", None),
        (V1, "RSA_DECRYPT_OAEP_2048_SHA256", None),
        ("junk", "GOOGLE_SYMMETRIC_ENCRYPTION", None),
    ],
)
def test_the_newest_version_is_named_where_a_primary_one_wraps(
    key_id: str, algorithm: str, newest: str | None
) -> None:
    assert hooks.newest_version(key_id, algorithm) == newest

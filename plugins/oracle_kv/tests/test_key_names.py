"""Which texts name a key, and which name may stand for which."""

from __future__ import annotations

import pytest

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import SettingsError
from ksm_storage.keys.discovery import find_plugin

from .opening import open_kek
from .scripted_vault import KEY, VERSION

LONG_REGION = "ocid1.key.oc1.ap-seoul-1.cnqtaqh2aagiu.abuwgljrltwjp2vbwpnkhwsvfdpqnxjywa4sml5orisz"
OTHER_VERSION = VERSION.replace("aaaajs", "baaajs")

NO_NAMES = [
    "",
    "alias/app",
    KEY.upper(),
    KEY.replace("ocid1.key", "ocid1.vault"),
    KEY.replace("ocid1.key", "ocid2.key"),
    KEY.rpartition(".")[0],
    f"{KEY}.more",
    f"{KEY}/",
    f"{KEY}/{KEY}",
    f"{KEY}/{VERSION}/{VERSION}",
    f"{VERSION}/{KEY}",
    f" {KEY}",
    f"{KEY}\n",
    KEY.replace("afnxza26aag4s", "evil.example/"),
    KEY.replace("afnxza26aag4s", "a@b"),
    KEY.replace("iad", "iad#"),
    KEY + "a" * 255,
    f"{KEY}/{VERSION}{'a' * 255}",
]


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_names_no_key_is_refused_and_not_recognised(text: str) -> None:
    plugin = find_plugin("oracle-kv")

    assert plugin.recognise_key(text) is None
    if text and text.isprintable() and " " not in text:
        with pytest.raises(SettingsError, match="not a valid OCI vault key"):
            open_kek(text)


@pytest.mark.parametrize("text", [KEY, LONG_REGION, f"{KEY}/{VERSION}"])
def test_the_ocid_of_a_key_is_recognised_as_it_is(text: str) -> None:
    recognised = find_plugin("oracle-kv").recognise_key(text)

    assert str(recognised) == f"oracle-kv://{text}"


@pytest.mark.parametrize(
    ("trusted", "recorded", "covers"),
    [
        (KEY, KEY, True),
        (KEY, f"{KEY}/{VERSION}", True),
        (f"{KEY}/{VERSION}", f"{KEY}/{VERSION}", True),
        (f"{KEY}/{VERSION}", f"{KEY}/{OTHER_VERSION}", False),
        (f"{KEY}/{VERSION}", KEY, False),
        (LONG_REGION, f"{KEY}/{VERSION}", False),
        (KEY, f"{LONG_REGION}/{VERSION}", False),
        (KEY, "junk", False),
        ("junk", KEY, False),
    ],
)
def test_a_key_stands_for_its_versions_and_a_version_for_itself(
    trusted: str, recorded: str, covers: bool
) -> None:
    assert find_plugin("oracle-kv").key_covers(trusted, recorded) is covers


def test_the_newest_version_is_named_without_one() -> None:
    plugin = find_plugin("oracle-kv")

    named = KeyUri("oracle-kv", f"{KEY}/{VERSION}")

    assert plugin.newest_version(named, "AES_256_GCM", b"") == KeyUri("oracle-kv", KEY)

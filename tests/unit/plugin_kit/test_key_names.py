"""Names of keys that have versions."""

from __future__ import annotations

import pytest

from ksm_storage.errors import SettingsError
from ksm_storage.plugin import KeyNames

NAMES = KeyNames(
    r"(?P<key>vaults/(?P<vault>[a-z]+)/keys/[A-Za-z]+)(?:/v/(?P<version>[0-9a-f]+))?",
    noun="Acme key",
    hint="write vaults/VAULT/keys/KEY",
    separator="/v/",
)
CASELESS = KeyNames(
    r"(?:https://)?(?P<key>[a-z.]+/k/[a-z]+)(?:/(?P<version>[0-9a-f]+))?",
    noun="Acme key",
    hint="write HOST/k/KEY",
    normalise=lambda match: match["key"].lower(),
    ignore_case=True,
)


@pytest.mark.parametrize("text", ["vaults/a/keys/K", "vaults/a/keys/K/v/7"])
def test_a_name_is_read_and_written_the_same(text: str) -> None:
    assert str(NAMES.parse(text)) == text


def test_a_name_has_its_parts() -> None:
    name = NAMES.parse("vaults/a/keys/K/v/7")

    assert (name.key, name.version, name.parts) == ("vaults/a/keys/K", "7", {"vault": "a"})
    assert str(name.newest) == "vaults/a/keys/K"
    assert str(name.newest.with_version("8")) == "vaults/a/keys/K/v/8"


@pytest.mark.parametrize("text", ["", "vaults/A/keys/K", "vaults/a/keys/K/v/", "vaults/a/keys/K\n"])
def test_another_form_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(SettingsError, match="not a valid Acme key") as caught:
        NAMES.parse(text)

    assert caught.value.hint == "write vaults/VAULT/keys/KEY"


@pytest.mark.parametrize(
    ("trusted", "key_id", "covers"),
    [
        ("vaults/a/keys/K", "vaults/a/keys/K/v/7", True),
        ("vaults/a/keys/K/v/7", "vaults/a/keys/K/v/7", True),
        ("vaults/a/keys/K/v/8", "vaults/a/keys/K/v/7", False),
        ("vaults/a/keys/k", "vaults/a/keys/K/v/7", False),
        ("vaults/a/keys/K", "vaults/a/keys/K", False),
        ("junk", "vaults/a/keys/K/v/7", False),
        ("vaults/a/keys/K", "junk", False),
    ],
)
def test_a_name_covers_the_versions_that_it_may_stand_for(
    trusted: str, key_id: str, covers: bool
) -> None:
    assert NAMES.covers(trusted, key_id) is covers


def test_where_the_service_names_no_version_the_key_alone_is_covered() -> None:
    assert NAMES.covers("vaults/a/keys/K", "vaults/a/keys/K", versions_only=False)


def test_where_case_does_not_matter_it_does_not() -> None:
    assert str(CASELESS.parse("https://HOST.x/k/Key/AB")) == "host.x/k/key/ab"
    assert CASELESS.covers("HOST.x/k/key", "https://host.X/K/KEY/ab")


@pytest.mark.parametrize(
    ("key_id", "newest"),
    [("vaults/a/keys/K/v/7", "vaults/a/keys/K"), ("vaults/a/keys/K", None), ("junk", None)],
)
def test_the_newest_version_is_the_key_without_one(key_id: str, newest: str | None) -> None:
    assert NAMES.newest_version(key_id) == newest

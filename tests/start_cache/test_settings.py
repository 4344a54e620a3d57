"""What turns the cache on, for which keys and for how long; everything else is an error."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from ksm_storage.contract.key_wrapper import Aad, KeyUri, WrappedDek
from ksm_storage.errors import SettingsError
from ksm_storage.keys import kernel_keyring
from ksm_storage.keys.dek_cache import DekCache, configured_cache

ONE = KeyUri("aws-kms", "arn:aws:kms:eu-west-1:111122223333:key/one")
TWO = KeyUri("aws-kms", "arn:aws:kms:eu-west-1:111122223333:key/two")
THREE = KeyUri("gcp-kms", "projects/p/locations/l/keyRings/r/cryptoKeys/k")


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings.toml"
    path.touch(mode=0o600)
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", str(path))
    return path


def turned_on(arguments: Any = None) -> DekCache:
    cache = configured_cache(arguments)
    assert cache is not None
    return cache


def test_it_is_off_by_default() -> None:
    assert configured_cache(None) is None


@pytest.mark.parametrize("seconds", ["0", ""])
def test_zero_is_off(seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSM_STORAGE_CACHE", seconds)

    assert configured_cache(None) is None


def test_a_keyring_alone_turns_nothing_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSM_STORAGE_CACHE_KEYRING", "session")

    assert configured_cache(None) is None


def test_a_key_counts_before_its_provider_and_that_before_the_rest(settings_file: Path) -> None:
    settings_file.write_text(
        f'[cache]\nseconds = 300\nkeyring = "session"\n[cache.keys]\n"aws-kms" = 60\n"{ONE}" = 0\n'
    )
    cache = turned_on()

    assert [cache.seconds_for(key) for key in (ONE, TWO, THREE)] == [0, 60, 300]
    assert cache.keyring == "session"
    assert list(cache.shown([ONE, TWO])) == [
        f"the data key is kept 60 s in the session keyring for {TWO} "
        "(from [cache] of the settings file)"
    ]


def test_the_call_counts_before_the_environment_and_that_before_the_file(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_file.write_text(f'[cache]\nseconds = 1\n[cache.keys]\n"{ONE}" = 0\n')
    by_file = turned_on()
    monkeypatch.setenv("KSM_STORAGE_CACHE", "2")
    by_environment = turned_on()
    by_call = turned_on({"cache": {"seconds": 3}})
    all_named = turned_on({"cache": {"keys": {str(ONE): 4}}})

    assert [c.seconds_for(TWO) for c in (by_file, by_environment, by_call)] == [1, 2, 3]
    # What the file says of one key is not undone by what the environment says of all.
    assert by_environment.seconds_for(ONE) == 0
    assert all_named.seconds_for(ONE) == 4
    assert by_environment.source == "the environment"


@pytest.mark.parametrize(("of_the_key", "of_the_alias"), [(0, 60), (60, 0)])
def test_an_exclusion_holds_under_both_names_of_a_key(
    of_the_key: int, of_the_alias: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = KeyUri("aws-kms", "alias/one")
    keys = {str(ONE): of_the_key, str(alias): of_the_alias}
    cache = turned_on({"cache": {"seconds": 300, "keys": keys}})
    monkeypatch.setattr(kernel_keyring, "keep", lambda *_, **__: pytest.fail("kept"))
    monkeypatch.setattr(kernel_keyring, "find", lambda *_, **__: pytest.fail("looked for"))
    wrapped, aad = WrappedDek(ONE.key_id, "any", b"wrapped"), Aad({"a": "b"})

    cache.keep(bytes(32), alias, wrapped, aad)

    assert cache.find(alias, wrapped, aad) is None


def test_what_is_said_of_an_alias_shortens_the_time_of_each_key_that_it_may_stand_for() -> None:
    pytest.importorskip("ksm_storage_aws_kms")
    region, other = "arn:aws:kms:eu-west-1:111122223333", "arn:aws:kms:eu-west-2:111122223333"
    one, two = (f"key/{uuid.UUID(int=number)}" for number in (1, 2))
    keys = {f"aws-kms://{region}:alias/a": 0, f"aws-kms://{other}:alias/b": 600}
    keys[f"aws-kms://{region}:{two}"] = 60
    cache = turned_on({"cache": {"seconds": 300, "keys": keys}})

    # The first may be what the alias stands for; the second has an entry of its own; an alias
    # prolongs nothing.
    found = [f"{region}:{one}", f"{region}:{two}", f"{other}:{one}"]
    assert [cache.seconds_for(KeyUri("aws-kms", key)) for key in found] == [0, 60, 300]


@pytest.mark.parametrize(
    "uri", ["key-file:///a.key", "os-keyring://a", "tpm2://owner/a", "recovery://a"]
)
def test_keys_that_need_no_network_are_never_kept(uri: str) -> None:
    cache = turned_on({"cache": {"seconds": 3, "keys": {uri: 9}}})

    assert cache.seconds_for(KeyUri.parse(uri)) == 0


@pytest.mark.parametrize("seconds", ["1.5", "-1", "86401", "5m", "on", "٣", " 5", "9" * 5000])
def test_an_invalid_variable_is_an_error(seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSM_STORAGE_CACHE", seconds)

    with pytest.raises(SettingsError, match=r"'seconds' from the environment must be a whole"):
        configured_cache(None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("second = 5", "unknown option 'second' for the cache"),
        ("seconds = true", "'seconds' from .* must be a whole number of seconds"),
        ('seconds = "5"', "'seconds' from .* must be a whole number of seconds"),
        ('keyring = "thread"', "'keyring' from .* must be one of session, user, persistent"),
        ("keyring = 1", "'keyring' from .* must be one of"),
        ("keys = 1", "'keys' from .* must be a table"),
        ('keys = {"aws-kms" = -1}', "'keys.aws-kms' from .* must be a whole number"),
        ('keys = {"aws kms://x" = 1}', "not a provider's name"),
        ('keys = {"aws-kns" = 0}', "unknown provider 'aws-kns' in the cache's setting 'keys'"),
        ('keys = {"aws-kns://x" = 0}', "unknown provider 'aws-kns' in the cache's setting"),
    ],
)
def test_an_invalid_table_is_an_error(text: str, message: str, settings_file: Path) -> None:
    settings_file.write_text(f"[cache]\n{text}\n")

    with pytest.raises(SettingsError, match=message):
        configured_cache(None)


def test_a_call_that_gives_no_table_is_an_error() -> None:
    with pytest.raises(SettingsError, match="must be a table of options"):
        configured_cache({"cache": 5})  # type: ignore[dict-item]  # what is tested

"""A key URI names one KEK, and nothing that is no name."""

from __future__ import annotations

import pytest

from ksm_storage.contract.key_wrapper import MAX_KEY_ID, MAX_PROVIDER, KeyUri
from ksm_storage.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "provider", "key_id"),
    [
        ("key-file:///etc/app.key", "key-file", "/etc/app.key"),
        ("aws-kms://arn:aws:kms:eu-west-1:1:key/k", "aws-kms", "arn:aws:kms:eu-west-1:1:key/k"),
        (
            "azure-kv://https://v.vault.azure.net/keys/k",
            "azure-kv",
            "https://v.vault.azure.net/keys/k",
        ),
        ("pkcs11://token=t;object=o", "pkcs11", "token=t;object=o"),
        ("a://b", "a", "b"),
    ],
)
def test_a_uri_is_read_and_written_alike(text: str, provider: str, key_id: str) -> None:
    uri = KeyUri.parse(text)

    assert uri == KeyUri(provider, key_id)
    assert str(uri) == text


@pytest.mark.parametrize("text", ["", "prod", "//etc/app.key", "./app.key", ":/", "a:b"])
def test_a_text_without_the_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KeyUri.parse(text)

    assert "provider://key-id" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "provider",
    [
        "",
        "AWS",
        "aws_kms",
        "aws--kms",
        "-aws",
        "aws-",
        "1aws",
        "aws kms",
        "é",
        "a" * (MAX_PROVIDER + 1),
        "a\n",
    ],
)
def test_a_name_that_is_no_providers_is_refused(provider: str) -> None:
    with pytest.raises(SettingsError):
        KeyUri(provider, "key")


@pytest.mark.parametrize("key_id", ["", "a b", "a\n", "a\0", "ä", "\x7f", "k" * (MAX_KEY_ID + 1)])
def test_a_key_id_that_is_not_visible_ascii_of_a_length_is_refused(key_id: str) -> None:
    with pytest.raises(SettingsError):
        KeyUri("acme", key_id)


def test_the_longest_names_are_accepted() -> None:
    uri = KeyUri("a" * MAX_PROVIDER, "k" * MAX_KEY_ID)

    assert KeyUri.parse(str(uri)) == uri


@pytest.mark.parametrize("text", ["nonsense", "arn:aws:kms:us-east-1:111122223333:key/1234", ""])
def test_a_text_that_is_no_key_is_named(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KeyUri.parse(text)

    assert (caught.value.message, caught.value.key) == (f"not a valid key URI: {text!r}", text)


@pytest.mark.parametrize(
    "text",
    [
        "abandon ability able about above absent",
        '{"clientId":"x"}',
        "US:" + "Tk9fU0VDUkVUX0FUX0FMTF9OT1RfQVRfQUxMX05PVA",
        "café",
    ],
    ids=["words", "configuration", "token", "text"],
)
def test_what_may_be_a_secret_in_the_place_of_a_key_is_not_repeated(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KeyUri.parse(text)

    assert caught.value.message == "not a valid key URI"
    assert caught.value.key is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("/etc/ksm/app.key", "'key-file:///etc/ksm/app.key'"),
        ("key-file:/etc/ksm/app.key", "did you mean 'key-file:///etc/ksm/app.key'?"),
        ("aws-kms:alias/app", "did you mean 'aws-kms://alias/app'?"),
        ("/projects/p/locations/l/keyRings/r/cryptoKeys/k", "write provider://key-id"),
        ("app", "write provider://key-id"),
    ],
)
def test_a_slip_in_a_key_uri_is_answered_with_what_was_meant(text: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KeyUri.parse(text)

    assert hint in str(caught.value.hint)

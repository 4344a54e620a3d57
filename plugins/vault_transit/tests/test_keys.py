"""Versions, kinds and ends of keys, at the real server."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage.plugin import (
    Aad,
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    PermissionDeniedError,
    SettingsError,
)

from .openbao import OpenBao
from .opening import AAD, new_dek, opened

Settings = Mapping[str, object]


@pytest.mark.parametrize(
    "name",
    ["payments", "/payments", "transit/", "a//b", "../transit/k", "transit/k?x", "transit/%6b"],
)
def test_what_does_not_name_a_key_is_refused(root: Settings, name: str) -> None:
    with pytest.raises(SettingsError, match="not a valid Transit key"):
        opened(name, root)


def test_a_mount_path_may_have_several_parts(bao: OpenBao, root: Settings) -> None:
    bao.enable("teams/payments/transit")
    key = opened(f"teams/payments/transit/{bao.new_key('teams/payments/transit')}", root)
    dek = new_dek()

    assert key.unwrap(key.wrap(dek, aad=AAD), aad=AAD) == dek


def test_the_ciphertext_is_what_the_format_page_says(bao: OpenBao, root: Settings) -> None:
    name = bao.new_key(options={"exportable": True})
    dek = new_dek()
    wrapped = opened(f"transit/{name}", root).wrap(dek, aad=AAD)

    exported = bao.ask("GET", f"transit/export/encryption-key/{name}/1")["data"]["keys"]["1"]
    prefix, version, text = wrapped.ciphertext.split(b":")
    sealed = b64decode(text)

    assert (prefix, version) == (b"vault", b"v1")
    assert AESGCM(b64decode(exported)).decrypt(sealed[:12], sealed[12:], bytes(AAD)) == dek


def test_a_missing_key_is_not_created(bao: OpenBao, root: Settings) -> None:
    with pytest.raises(KeyNotFoundError) as caught:
        opened("transit/missing", root).wrap(new_dek(), aad=AAD)

    assert caught.value.hint is not None
    with pytest.raises(KeyNotFoundError):
        opened("transit/missing", root).describe_key()


def test_a_missing_key_is_not_created_under_a_policy_that_allows_it(bao: OpenBao) -> None:
    policy = bao.policy('path "transit/encrypt/*" { capabilities = ["create", "update"] }')
    settings = {"endpoint": bao.url, "token": bao.token(policy)}

    with pytest.raises(KeyNotFoundError):
        opened("transit/missing", settings).wrap(new_dek(), aad=AAD)


def test_a_missing_mount_is_a_key_that_is_not_found(root: Settings) -> None:
    with pytest.raises(KeyNotFoundError):
        opened("no/such/mount/key", root).wrap(new_dek(), aad=AAD)


def test_an_older_version_still_opens_after_a_rotation(bao: OpenBao, root: Settings) -> None:
    name = bao.new_key()
    key = opened(f"transit/{name}", root)
    dek = new_dek()
    first = key.wrap(dek, aad=AAD)

    bao.ask("POST", f"transit/keys/{name}/rotate")
    second = key.wrap(dek, aad=AAD)

    assert [key.unwrap(each, aad=AAD) for each in (first, second)] == [dek, dek]
    assert [key.wrapping_version(each, aad=AAD) for each in (first, second)] == ["1", "2"]
    assert key.describe_key().current_version == "2"


def test_a_version_below_the_minimum_is_refused_until_it_is_lowered(
    bao: OpenBao, root: Settings
) -> None:
    name = bao.new_key()
    key = opened(f"transit/{name}", root)
    dek = new_dek()
    wrapped = key.wrap(dek, aad=AAD)
    bao.ask("POST", f"transit/keys/{name}/rotate")

    bao.ask("POST", f"transit/keys/{name}/config", {"min_decryption_version": 2})
    with pytest.raises(KeyStateError, match="no longer decrypts the version"):
        key.unwrap(wrapped, aad=AAD)
    bao.ask("POST", f"transit/keys/{name}/config", {"min_decryption_version": 1})

    assert key.unwrap(wrapped, aad=AAD) == dek


def test_a_deleted_key_is_not_found(bao: OpenBao, root: Settings) -> None:
    name = bao.new_key()
    key = opened(f"transit/{name}", root)
    wrapped = key.wrap(new_dek(), aad=AAD)
    bao.ask("POST", f"transit/keys/{name}/config", {"deletion_allowed": True})
    bao.ask("DELETE", f"transit/keys/{name}")

    with pytest.raises(KeyNotFoundError):
        key.unwrap(wrapped, aad=AAD)
    with pytest.raises(KeyNotFoundError):
        key.wrap(new_dek(), aad=AAD)


@pytest.mark.parametrize(
    "options",
    [{"type": "rsa-2048"}, {"type": "ecdsa-p256"}, {"type": "ed25519"}, {"derived": True}],
    ids=str,
)
def test_a_kind_of_key_that_cannot_bind_the_context_is_refused(
    bao: OpenBao, root: Settings, options: dict[str, object]
) -> None:
    key = opened(f"transit/{bao.new_key(options=options)}", root)

    with pytest.raises(KeyStateError, match="cannot wrap"):
        key.wrap(new_dek(), aad=Aad({}))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b":v1:", b":v0:"),
        lambda text: text.replace(b":v1:", b":v01:"),
        lambda text: text + b"\n",
        lambda text: text[:20] + b"\n" + text[20:],
    ],
)
def test_another_spelling_that_the_server_accepts_is_refused(
    bao: OpenBao, root: Settings, change: object
) -> None:
    assert callable(change)
    key = opened(f"transit/{bao.new_key()}", root)
    wrapped = key.wrap(new_dek(), aad=AAD)

    with pytest.raises(DecryptionError):
        key.unwrap(wrapped._replace(ciphertext=change(wrapped.ciphertext)), aad=AAD)


def test_the_servers_rewrap_knows_no_associated_data(bao: OpenBao, root: Settings) -> None:
    # When this fails, the page and the key wrapper can do better: hashicorp/vault#29532.
    name = bao.new_key()
    wrapped = opened(f"transit/{name}", root).wrap(new_dek(), aad=AAD)
    body = {
        "ciphertext": wrapped.ciphertext.decode(),
        "associated_data": b64encode(bytes(AAD)).decode(),
    }

    with pytest.raises(AssertionError, match="message authentication failed"):
        bao.ask("POST", f"transit/rewrap/{name}", body)


def test_the_policies_of_the_page_are_enough_and_no_more(bao: OpenBao, root: Settings) -> None:
    name = bao.new_key()
    decrypt = bao.policy(f'path "transit/decrypt/{name}" {{ capabilities = ["update"] }}')
    reader = opened(f"transit/{name}", {"endpoint": bao.url, "token": bao.token(decrypt)})
    dek = new_dek()
    wrapped = opened(f"transit/{name}", root).wrap(dek, aad=AAD)

    assert reader.unwrap(wrapped, aad=AAD) == dek
    with pytest.raises(PermissionDeniedError) as caught:
        reader.wrap(dek, aad=AAD)
    assert caught.value.permission == f"update on transit/encrypt/{name}"
    other = opened(f"transit/{bao.new_key()}", {"endpoint": bao.url, "token": bao.token(decrypt)})
    with pytest.raises(PermissionDeniedError):
        other.wrap(dek, aad=AAD)


def test_the_servers_audit_log_holds_no_data_key(bao: OpenBao, root: Settings) -> None:
    key = opened(f"transit/{bao.new_key()}", root)
    dek = new_dek()

    key.unwrap(key.wrap(dek, aad=AAD), aad=AAD)

    assert b64encode(dek).decode() not in bao.audit_log

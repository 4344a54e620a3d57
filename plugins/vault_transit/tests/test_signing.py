"""A device key in Transit signs, and nothing else stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import uuid4

import pytest

from ksm_storage.errors import (
    KeyNotFoundError,
    KeyStateError,
    PermissionDeniedError,
    SettingsError,
)
from ksm_storage.keys.discovery import find_plugin
from ksm_storage.testing.signing_tests import SigningConformance

from .openbao import OpenBao
from .opening import AAD, new_dek, opened

Settings = Mapping[str, object]
DIGEST = bytes(range(32))
P256 = {"type": "ecdsa-p256"}


class TestSigning(SigningConformance):
    """The promises of the ability, over the real server."""

    provider = "vault-transit"

    @pytest.fixture
    def settings(self, root: Settings) -> Settings:
        return root

    @pytest.fixture
    def key_id(self, bao: OpenBao) -> str:
        return f"transit/{bao.new_key(options=P256)}"

    @pytest.fixture
    def other_key_id(self, bao: OpenBao) -> str:
        return f"transit/{bao.new_key(options=P256)}"

    @pytest.fixture
    def new_key_id(self) -> str:
        return f"transit/{uuid4().hex}"

    @pytest.fixture
    def count_calls(self, bao: OpenBao) -> Callable[[], int]:
        return lambda: bao.requests("transit/", "auth/")


def test_a_device_keeps_its_key_when_the_key_is_rotated(bao: OpenBao, root: Settings) -> None:
    name = bao.new_key(options=P256)
    before = opened(f"transit/{name}", root).signing_key()

    bao.ask("POST", f"transit/keys/{name}/rotate")

    assert before.key_id == f"transit/{name}@1"
    assert opened(before.key_id, root).signing_key() == before
    assert opened(f"transit/{name}", root).signing_key().key_id == f"transit/{name}@2"
    assert opened(before.key_id, root).sign_digest(DIGEST)


def test_a_name_without_a_version_does_not_sign(bao: OpenBao, root: Settings) -> None:
    with pytest.raises(SettingsError, match="has no version in its name"):
        opened(f"transit/{bao.new_key(options=P256)}", root).sign_digest(DIGEST)


def test_a_version_below_the_minimum_no_longer_signs(bao: OpenBao, root: Settings) -> None:
    name = bao.new_key(options=P256)
    bao.ask("POST", f"transit/keys/{name}/rotate")
    bao.ask("POST", f"transit/keys/{name}/config", {"min_encryption_version": 2})

    with pytest.raises(KeyStateError, match="may no longer sign"):
        opened(f"transit/{name}@1", root).sign_digest(DIGEST)
    bao.ask("POST", f"transit/keys/{name}/config", {"min_decryption_version": 2})
    with pytest.raises(KeyStateError, match="missing or below"):
        opened(f"transit/{name}@1", root).signing_key()


def test_a_disabled_key_stops_the_device_at_its_next_request(bao: OpenBao, root: Settings) -> None:
    name = bao.new_key(options=P256)
    key = opened(f"transit/{name}@1", root)
    assert key.sign_digest(DIGEST)

    bao.ask("DELETE", f"transit/keys/{name}/soft-delete")
    with pytest.raises(KeyStateError, match="soft-deleted"):
        key.sign_digest(DIGEST)
    bao.ask("POST", f"transit/keys/{name}/soft-delete-restore")

    assert key.sign_digest(DIGEST)


@pytest.mark.parametrize("kind", ["aes256-gcm96", "ecdsa-p384", "ed25519", "rsa-2048"])
def test_a_key_of_another_kind_is_refused(bao: OpenBao, root: Settings, kind: str) -> None:
    with pytest.raises(KeyStateError, match="not a P-256 signing key"):
        opened(f"transit/{bao.new_key(options={'type': kind})}", root).signing_key()


def test_a_missing_key_is_not_found(root: Settings) -> None:
    with pytest.raises(KeyNotFoundError):
        opened("transit/missing", root).signing_key()
    with pytest.raises(KeyNotFoundError):
        opened("transit/missing@1", root).sign_digest(DIGEST)


def test_the_policy_of_the_page_is_enough_to_sign_and_no_more(bao: OpenBao) -> None:
    name = bao.new_key(options=P256)
    policy = bao.policy(f'path "transit/sign/{name}/sha2-256" {{ capabilities = ["update"] }}')
    key = opened(f"transit/{name}@1", {"endpoint": bao.url, "token": bao.token(policy)})

    assert key.sign_digest(DIGEST)
    with pytest.raises(PermissionDeniedError) as caught:
        key.signing_key()
    assert caught.value.permission == f"read on transit/keys/{name}"


def test_a_signing_key_does_not_wrap(bao: OpenBao, root: Settings) -> None:
    name = bao.new_key(options=P256)

    with pytest.raises(KeyStateError, match="cannot wrap"):
        opened(f"transit/{name}", root).wrap(new_dek(), aad=AAD)
    with pytest.raises(SettingsError, match="names a version"):
        opened(f"transit/{name}@1", root).wrap(new_dek(), aad=AAD)


@pytest.mark.parametrize(
    ("trusted", "key_id"),
    [("transit/a@1", "transit/a"), ("transit/a@1", "transit/a@2"), ("transit/a", "transit/b@1")],
)
def test_a_name_does_not_cover_another(trusted: str, key_id: str) -> None:
    assert not find_plugin("vault-transit").key_covers(trusted, key_id)


def test_the_permission_that_creating_lacks_is_named(bao: OpenBao, root: Settings) -> None:
    name = uuid4().hex
    reader = bao.policy(f'path "transit/keys/{name}" {{ capabilities = ["read"] }}')
    creator = bao.policy(f'path "transit/keys/{name}" {{ capabilities = ["read", "update"] }}')

    with pytest.raises(PermissionDeniedError) as caught:
        opened(f"transit/{name}", {**root, "token": bao.token(reader)}).create_signing_key()
    created = opened(f"transit/{name}", {**root, "token": bao.token(creator)}).create_signing_key()

    assert caught.value.permission == f"update on transit/keys/{name}"
    assert created == f"transit/{name}@1"


def test_a_key_of_another_type_is_not_taken_for_a_new_one(bao: OpenBao, root: Settings) -> None:
    with pytest.raises(KeyStateError, match="already exists"):
        opened(f"transit/{bao.new_key()}", root).create_signing_key()

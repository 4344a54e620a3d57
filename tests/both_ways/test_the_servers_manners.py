"""Key rotation, throttling, expiry and revocation are met alike in all four ways."""

from __future__ import annotations

from typing import Any

import pytest
from ksm_storage_local_vault.owner.access import revoke_client
from ksm_storage_local_vault.server_settings import ThrottleRule
from ksm_storage_local_vault.testing import LocalVault, add_sample_content, running_vault

from tests.both_ways.ways import Way
from tests.unit.storage.fixtures import names_in


def test_another_id_of_the_server_key_is_followed_and_kept(
    way: Way, device: Any, vault: LocalVault
) -> None:
    with vault.owner() as owner:
        new = owner.renumber_server_key()

    assert len(device.get_secrets()) == 3
    assert way.open_config().read_storage()["serverPublicKeyId"] == new.key_id


def test_a_new_server_key_must_be_given(
    way: Way, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_vault(tmp_path_factory.mktemp("rotated")) as vault:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", vault.ca_file)
        add_sample_content(vault)
        way.connect(vault, token=vault.new_client().token).get_secrets()
        with vault.owner() as owner:
            new = owner.rotate_server_key()

        with pytest.raises(Exception, match="bad_request"):
            way.connect(vault).get_secrets()

        vault.server_public_key, vault.server_public_key_id = new.public_text, new.key_id
        assert len(way.connect(vault).get_secrets()) == 3


def test_throttled_requests_are_repeated(device: Any, vault: LocalVault) -> None:
    with vault.owner() as owner:
        owner.throttle = ThrottleRule(throttle_next=2, retry_after_seconds=0.01)

    assert len(device.get_secrets()) == 3
    with vault.owner() as owner:
        assert owner.throttle.throttle_next == 0


def test_a_revoked_device_is_refused_at_its_next_request(
    way: Way, device: Any, vault: LocalVault
) -> None:
    with vault.owner() as owner:
        revoke_client(owner, way.open_config().read_storage()["clientId"])

    with way.client.refused("revoked"):
        device.get_secrets()
    with way.client.refused("revoked"):
        way.connect(vault).get_folders()


def test_access_ends_when_it_was_said_to(way: Way, vault: LocalVault) -> None:
    token = vault.new_client(access_seconds=0.001).token

    with way.refused_at_bind("access over"):
        way.connect(vault, token=token).get_secrets()


def test_nothing_is_left_beside_the_file(way: Way, device: Any) -> None:
    assert names_in(way.path.parent) == ["client-config.json", "k"]


def test_only_the_sealed_file_hides_what_it_holds(way: Way, device: Any) -> None:
    raw = way.path.read_bytes()
    secrets = [way.open_config().read_storage()[name] for name in ("appKey", "privateKey")]

    shown = [secret.encode() in raw for secret in secrets]

    assert shown == ([False, False] if way.storage_name == "sealed" else [True, True])

"""``device rotate``: one of the two devices works at each moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ksm_storage_local_vault.testing import LocalVault

import ksm_storage
from ksm_storage.engine import SecretsManager
from tests.device.conftest import OTHER_APP
from tests.device.signing_service import SigningService
from tests.device.test_device_key import read

Run = Callable[..., int]


def test_a_new_device_takes_the_place_of_the_old_one(
    init: Run, rotate: Run, path: Path, vault: LocalVault, capsys: pytest.CaptureFixture[str]
) -> None:
    init()
    old = ksm_storage.open_storage(path).read_storage()

    assert rotate() == 0

    new = ksm_storage.open_storage(path).read_storage()
    assert new["clientId"] != old["clientId"]
    assert new["privateKey"] != old["privateKey"]
    assert new["appKey"] == old["appKey"]
    assert "nextDevice" not in new
    assert old["clientId"] in capsys.readouterr().err
    assert read(path, vault) > 0


def test_a_device_moves_into_a_key_service_and_back(
    init: Run, rotate: Run, path: Path, vault: LocalVault, signing: SigningService
) -> None:
    init()

    assert rotate("--device-key", signing.new_key("one")) == 0
    moved = ksm_storage.open_storage(path).read_storage()
    assert moved["deviceKey"] == "signing://one"
    assert "privateKey" not in moved
    assert read(path, vault) > 0

    assert rotate() == 2, "the choice is the user's"
    assert rotate("--stored-key") == 0
    back = ksm_storage.open_storage(path).read_storage()
    assert back["privateKey"]
    assert "deviceKey" not in back
    assert read(path, vault) > 0


def test_a_running_client_goes_on(init: Run, rotate: Run, path: Path, vault: LocalVault) -> None:
    init()
    manager = SecretsManager(config=ksm_storage.open_storage(path), ca_file=vault.ca_file)
    manager.get_secrets()

    rotate()

    assert list(manager.get_secrets())


def test_a_token_of_another_application_changes_nothing(
    init: Run, rotate: Run, path: Path, vault: LocalVault
) -> None:
    init()
    before = ksm_storage.open_storage(path).read_storage()

    assert rotate(token=vault.new_client(app=OTHER_APP).token) == 2

    assert ksm_storage.open_storage(path).read_storage() == before


def test_a_token_that_is_refused_changes_nothing(
    init: Run, rotate: Run, path: Path, vault: LocalVault
) -> None:
    init()
    before = ksm_storage.open_storage(path).read_storage()

    assert rotate(token=vault.new_client(token_seconds=0.0001).token) == 8

    assert ksm_storage.open_storage(path).read_storage() == before


@pytest.mark.parametrize("moves", [False, True], ids=["in the file", "into a key service"])
def test_the_clients_of_a_relay_stay(
    moves: bool, init: Run, rotate: Run, path: Path, signing: SigningService
) -> None:
    from ksm_storage.relay.server import default_folder, open_state

    init()
    folder = default_folder(str(path))
    before = open_state(ksm_storage.open_storage(path), folder).identity()

    assert rotate(*(["--device-key", signing.new_key("one")] if moves else [])) == 0

    after = open_state(ksm_storage.open_storage(path), folder).identity()
    assert after.server_public_key == before.server_public_key

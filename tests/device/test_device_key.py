"""A device whose private key is in a key service: bound, read with, refused to others, revoked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from keeper_secrets_manager_core import SecretsManager as OfficialManager
from ksm_storage_local_vault.testing import LocalVault

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.engine import InMemoryKeyValueStorage, SecretsManager
from ksm_storage.engine.errors import ClientSettingsError
from ksm_storage.errors import KeyStateError, SettingsError, StorageError, UnavailableError
from tests.attacks.claims import the_attacker
from tests.device.signing_service import SigningService

Init = Callable[..., int]


def read(path: Path, vault: LocalVault) -> int:
    """Read all secrets with the device in the file, and return how many there are."""
    manager = SecretsManager(config=ksm_storage.open_storage(path), ca_file=vault.ca_file)
    return len(list(manager.get_secrets()))


def redeemed(vault: LocalVault, token: str) -> bool:
    """Tell whether the server has seen the token: whether another device cannot use it."""
    other = SecretsManager(
        token,
        vault.address,
        config=InMemoryKeyValueStorage(),
        server_public_key=vault.server_public_key,
        server_public_key_id=vault.server_public_key_id,
        ca_file=vault.ca_file,
    )
    try:
        return not other.bind()
    except ksm_storage.errors.VaultError:
        return True


def test_the_file_holds_the_name_and_the_public_key_and_no_private_key(
    init: Init, path: Path, vault: LocalVault, signing: SigningService
) -> None:
    assert init("--device-key", signing.new_key("one")) == 0

    config = ksm_storage.open_storage(path).read_storage()

    assert config["deviceKey"] == "signing://one"
    assert "privateKey" not in config
    assert config["devicePublicKey"]
    assert read(path, vault) > 0


def test_a_request_is_one_signature(
    init: Init, path: Path, vault: LocalVault, signing: SigningService
) -> None:
    init("--device-key", signing.new_key("one"))
    manager = SecretsManager(config=ksm_storage.open_storage(path), ca_file=vault.ca_file)
    before = signing.signatures

    for _ in range(3):
        manager.get_secrets()

    assert signing.signatures - before == 3


@the_attacker("lets a signature fail while a device is bound")
@pytest.mark.parametrize("how", ["disabled", "down"])
def test_a_signature_that_fails_costs_no_token(
    init: Init, path: Path, vault: LocalVault, signing: SigningService, how: str
) -> None:
    token = vault.new_client().token
    key = signing.new_key("one")
    signing.fail("one", how)

    assert init("--device-key", key, token=token) != 0
    assert not path.exists()
    signing.recover("one", how)

    assert init("--device-key", key, token=token) == 0
    assert read(path, vault) > 0


def test_a_signature_that_fails_at_the_last_moment_costs_no_token(
    init: Init,
    path: Path,
    vault: LocalVault,
    signing: SigningService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = vault.new_client().token
    key = signing.new_key("one")
    with monkeypatch.context() as patched:
        patched.setattr(SecretsManager, "bind", lambda _: None)
        assert init("--device-key", key, token=token) == 0
    signing.fail("one", "down")

    manager = SecretsManager(config=ksm_storage.open_storage(path), ca_file=vault.ca_file)
    with pytest.raises(UnavailableError):
        manager.bind()

    assert not redeemed(vault, token)


def test_an_interrupted_bind_is_resumed_with_the_same_key(
    init: Init,
    path: Path,
    vault: LocalVault,
    signing: SigningService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = vault.new_client().token
    key = signing.new_key("one")
    with monkeypatch.context() as patched:
        patched.setattr(SecretsManager, "bind", lambda _: None)
        init("--device-key", key, token=token)

    assert init("--device-key", key, token=token) == 2
    assert init(token=token) == 0
    assert read(path, vault) > 0


def test_a_disabled_key_stops_the_device_at_its_next_request(
    init: Init, path: Path, vault: LocalVault, signing: SigningService
) -> None:
    init("--device-key", signing.new_key("one"))
    manager = SecretsManager(config=ksm_storage.open_storage(path), ca_file=vault.ca_file)
    manager.get_secrets()

    signing.fail("one", "disabled")
    with pytest.raises(KeyStateError, match="disabled"):
        manager.get_secrets()
    signing.recover("one", "disabled")

    assert list(manager.get_secrets())


@the_attacker("puts another key under the name of a device key")
def test_another_key_under_the_same_name_is_refused_before_anything_is_sent(
    init: Init, path: Path, vault: LocalVault, signing: SigningService
) -> None:
    init("--device-key", signing.new_key("one"))
    signing.new_key("one")

    with pytest.raises(KeyStateError, match="another key than this device's"):
        read(path, vault)


@the_attacker("copies the unsealed configuration of a device whose key is in a key service")
def test_a_copy_of_the_configuration_signs_nothing(
    init: Init, path: Path, vault: LocalVault, signing: SigningService
) -> None:
    init("--device-key", signing.new_key("one"))
    copy = InMemoryKeyValueStorage(ksm_storage.open_storage(path).read_storage())

    with pytest.raises(ClientSettingsError, match="in a key service") as caught:
        SecretsManager(config=copy, ca_file=vault.ca_file).get_secrets()

    assert "open_storage" in str(caught.value.hint)


def test_the_official_sdk_is_told_of_the_relay(
    init: Init, path: Path, vault: LocalVault, signing: SigningService
) -> None:
    init("--device-key", signing.new_key("one"))
    storage = ksm_storage.open_storage(path)
    before = storage.read_storage()

    with pytest.raises(SettingsError, match="in a key service") as caught:
        OfficialManager(config=storage).get_secrets()

    assert "relay client add" in str(caught.value.hint)
    assert storage.read_storage() == before


@pytest.mark.parametrize(
    "command",
    [
        ["export", "PATH", "--reveal"],
        ["export", "PATH", "--format", "ini", "--reveal"],
        ["exec", "PATH", "--", "true"],
    ],
    ids=["export", "export ini", "exec"],
)
def test_no_program_gets_a_configuration_that_it_cannot_use(
    init: Init,
    path: Path,
    signing: SigningService,
    command: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    init("--device-key", signing.new_key("one"))
    capfd.readouterr()

    code = main([str(path) if word == "PATH" else word for word in command])

    said = capfd.readouterr()
    assert code == 2
    assert not said.out
    assert "relay client add" in said.err


def test_a_damaged_name_is_a_storage_error(
    init: Init, path: Path, vault: LocalVault, signing: SigningService
) -> None:
    init("--device-key", signing.new_key("one"))
    ksm_storage.open_storage(path).set("devicePublicKey", "AAAA")

    with pytest.raises(StorageError, match="invalid"):
        read(path, vault)


def test_a_device_key_is_created_only_if_asked_for(
    init: Init,
    path: Path,
    vault: LocalVault,
    signing: SigningService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    token = vault.new_client().token

    assert init("--device-key", "signing://new", token=token) != 0
    assert not path.exists()
    assert init("--device-key", "signing://new", "--create-device-key", token=token) == 0

    assert "created the device key signing://new" in capsys.readouterr().err
    assert ksm_storage.open_storage(path).get("deviceKey") == "signing://new"
    assert read(path, vault) > 0


def test_a_key_that_exists_is_not_created_and_costs_no_token(
    init: Init,
    path: Path,
    vault: LocalVault,
    signing: SigningService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    token, key = vault.new_client().token, signing.new_key("one")

    assert init("--device-key", key, "--create-device-key", token=token) != 0
    assert "leave out --create-device-key" in capsys.readouterr().err
    assert not path.exists()
    assert not redeemed(vault, token)


@pytest.mark.parametrize("command", ["init", "rotate"])
def test_creating_needs_the_name_of_a_key(
    init: Init, rotate: Init, path: Path, signing: SigningService, command: str
) -> None:
    if command == "rotate":
        init()

    assert (init if command == "init" else rotate)("--create-device-key") == 2


def test_a_rotation_creates_the_key_of_the_new_device(
    init: Init, rotate: Init, path: Path, vault: LocalVault, signing: SigningService
) -> None:
    init("--device-key", signing.new_key("one"))

    assert rotate("--device-key", "signing://two", "--create-device-key") == 0

    assert ksm_storage.open_storage(path).get("deviceKey") == "signing://two"
    assert read(path, vault) > 0


def test_a_profile_takes_a_device_key(
    init: Init, path: Path, vault: LocalVault, signing: SigningService
) -> None:
    assert init("--profile", "prod") == 0
    assert init("--profile", "dev", "--device-key", signing.new_key("one")) == 0

    storage = ksm_storage.open_storage(path, profile="dev")
    manager = SecretsManager(config=storage, ca_file=vault.ca_file)
    assert storage.get("deviceKey") == "signing://one"
    assert list(manager.get_secrets())
    assert ksm_storage.open_storage(path, profile="prod").get("privateKey")

"""A one-time token becomes a client device, or nothing is lost."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager as Official
from keeper_secrets_manager_core.storage import FileKeyValueStorage
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage as OfficialInMemory

from ksm_storage.engine import (
    AddressLockedError,
    InMemoryKeyValueStorage,
    SecretsManager,
    ServerAnswerError,
    ServerUnreachableError,
    TokenExpiredError,
    TokenRedeemedError,
)
from ksm_storage.engine.binding import bind
from ksm_storage.engine.device import Device
from ksm_storage.engine.transport import HttpsTransport, run
from ksm_storage.errors import SettingsError, StorageError
from ksm_storage.wire import api_errors
from ksm_storage.wire.base64_forms import from_base64, to_url_safe
from ksm_storage.wire.keys import client_id_from_token, public_point_of


def other_token(server: Any) -> str:
    secret = os.urandom(32)
    server.clients[client_id_from_token(secret)] = None
    server.token = secret
    return str(server.token_text)


def public_point(config: InMemoryKeyValueStorage) -> bytes:
    return public_point_of(Device(config).private_key())


class BrokenConfig(InMemoryKeyValueStorage):
    """Fail when one key is set, as a full disk or a lost permission would."""

    broken_key = "appKey"

    def set(self, key: object, value: str | None, /) -> None:
        if getattr(key, "value", key) == self.broken_key:
            raise StorageError("the disk is full")
        super().set(key, value)


class ForgetfulConfig(InMemoryKeyValueStorage):
    """Accept everything and keep nothing."""

    def set(self, key: object, value: str | None, /) -> None:
        pass


def test_a_bind_stores_the_application_key_and_deletes_the_token(server: Any, connect: Any) -> None:
    config = InMemoryKeyValueStorage()

    assert connect(config).bind() is True

    values = config.read_storage()
    assert from_base64(values["appKey"]) == server.app_key
    assert "clientKey" not in values
    assert values["hostname"] == server.host
    assert values["clientId"] == client_id_from_token(server.token)


def test_only_the_first_request_carries_the_public_key(server: Any, connect: Any) -> None:
    connect().get_secrets()

    first, second = (payload for _path, payload in server.asked)
    assert "publicKey" in first
    assert "publicKey" not in second


def test_everything_is_stored_before_the_first_request(server: Any, connect: Any) -> None:
    config = InMemoryKeyValueStorage()

    connect(config)

    assert server.asked == []
    names = {"clientId", "clientKey", "privateKey", "hostname"}
    assert names <= set(config.read_storage())


@pytest.mark.parametrize("key", ["clientId", "privateKey", "clientKey", "serverPublicKey"])
def test_a_storage_that_cannot_be_written_spends_no_token(
    server: Any, connect: Any, key: str
) -> None:
    config = BrokenConfig()
    config.broken_key = key

    with pytest.raises(StorageError):
        connect(config)

    assert server.asked == []


def test_a_storage_that_keeps_nothing_spends_no_token(server: Any, connect: Any) -> None:
    with pytest.raises(StorageError, match="does not keep"):
        connect(ForgetfulConfig())

    assert server.asked == []


def test_a_bind_that_dies_before_its_save_is_resumed_with_the_same_key_pair(
    server: Any, connect: Any
) -> None:
    config = BrokenConfig()
    with pytest.raises(StorageError):
        connect(config).bind()

    assert connect(InMemoryKeyValueStorage(config.read_storage())).bind() is True

    first, second = (payload["publicKey"] for _path, payload in server.asked)
    assert first == second


def test_a_bind_is_resumed_from_the_configuration_alone(server: Any, connect: Any) -> None:
    config = InMemoryKeyValueStorage()
    connect(config)

    assert connect(config, token=None).bind() is True


def test_a_bind_that_the_server_finished_without_us_says_why_it_cannot_be_resumed(
    server: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(server), "_answer", lambda self, path, payload: {"records": []})

    with pytest.raises(ServerAnswerError) as caught:
        connect().bind()

    assert "no longer returns" in caught.value.message
    assert "cannot be resumed" in (caught.value.hint or "")


def test_an_unreachable_server_leaves_a_bind_that_can_be_resumed(server: Any, connect: Any) -> None:
    config = InMemoryKeyValueStorage()
    manager = connect(config)
    server.reply(502, b"bad gateway")

    with pytest.raises(ServerUnreachableError) as caught:
        manager.bind()

    assert "same one-time token" in (caught.value.hint or "")
    assert manager.bind() is True


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (api_errors.TOKEN_EXPIRED, TokenExpiredError),
        (api_errors.TOKEN_REDEEMED, TokenRedeemedError),
    ],
)
def test_after_a_final_refusal_the_storage_takes_another_token(
    server: Any, connect: Any, refusal: api_errors.ApiError, error: type[Exception]
) -> None:
    config = InMemoryKeyValueStorage()
    server.refuse(refusal)
    with pytest.raises(error):
        connect(config).bind()

    assert not {"clientId", "clientKey", "privateKey"} & set(config.read_storage())
    assert connect(config, token=other_token(server)).bind() is True


def bound_meanwhile(server: Any, config: InMemoryKeyValueStorage, answer: Any) -> None:
    """Let the next request be answered after somebody else has stored the application key."""
    original = server.handle_post

    def handle(*request: Any) -> Any:
        server.handle_post = original
        config.set("appKey", to_url_safe(server.app_key))
        config.delete("clientKey")
        return answer

    server.handle_post = handle


@pytest.mark.parametrize(
    "answer",
    [
        (403, json.dumps(api_errors.TOKEN_REDEEMED.answer()).encode(), {}),
        (200, b"", {}),
    ],
    ids=["refused", "without the application key"],
)
def test_a_token_that_another_process_redeems_meanwhile_leaves_its_configuration(
    server: Any, connect: Any, answer: Any
) -> None:
    config = InMemoryKeyValueStorage()
    manager = connect(config)
    server.clients[client_id_from_token(server.token)] = public_point(config)
    bound_meanwhile(server, config, answer)

    assert manager.bind() is False

    assert {"clientId", "privateKey", "appKey"} <= set(config.read_storage())
    assert list(manager.get_secrets()) == []


def test_a_bind_that_another_process_finished_before_it_began_is_none(
    server: Any, connect: Any
) -> None:
    config = InMemoryKeyValueStorage()
    device = Device(config)
    connect(config)
    config.set("appKey", to_url_safe(server.app_key))
    config.delete("clientKey")

    assert run(bind(device, None, work=HttpsTransport().work)) is False  # type: ignore[arg-type]  # it asks nobody


class ContestedConfig(InMemoryKeyValueStorage):
    """Offer ``apply``, and let another process be first each time."""

    def __init__(self, rival: dict[str, str]) -> None:
        super().__init__()
        self._rival = rival

    def apply(self, change: Callable[[dict[str, str]], None]) -> None:
        values = {**self.read_storage(), **self._rival}
        change(values)
        self.save_storage(values)


def test_a_key_pair_that_another_process_stored_meanwhile_is_shared(
    server: Any, connect: Any
) -> None:
    first = InMemoryKeyValueStorage()
    connect(first)
    config = ContestedConfig(first.read_storage())

    assert connect(config).bind() is True

    assert config.get("privateKey") == first.get("privateKey")


def test_a_configuration_that_another_process_bound_meanwhile_stays_as_it_is(
    server: Any, connect: Any
) -> None:
    rival = InMemoryKeyValueStorage()
    connect(rival).bind()
    config = ContestedConfig(rival.read_storage())

    assert connect(config).bind() is False

    assert config.read_storage() == rival.read_storage()


def test_a_configuration_that_another_token_bound_meanwhile_is_refused(
    server: Any, connect: Any
) -> None:
    rival = InMemoryKeyValueStorage()
    connect(rival).bind()
    config = ContestedConfig(rival.read_storage())

    with pytest.raises(SettingsError, match="different token"):
        connect(config, token=other_token(server))

    assert config.read_storage() == rival.read_storage()


def test_a_refusal_that_may_pass_keeps_the_key_pair(server: Any, connect: Any) -> None:
    config = InMemoryKeyValueStorage()
    manager = connect(config)
    key_pair = config.get("privateKey")
    server.refuse(api_errors.ADDRESS_REFUSED)

    with pytest.raises(AddressLockedError):
        manager.bind()

    assert config.get("privateKey") == key_pair


def test_a_half_bound_configuration_takes_another_token_with_a_new_key_pair(
    server: Any, connect: Any
) -> None:
    config = InMemoryKeyValueStorage()
    connect(config)
    key_pair = config.get("privateKey")

    assert connect(config, token=other_token(server)).bind() is True
    assert config.get("privateKey") != key_pair


def test_another_token_on_a_bound_configuration_is_refused(server: Any, connect: Any) -> None:
    config = InMemoryKeyValueStorage()
    connect(config).bind()
    before = config.read_storage()

    with pytest.raises(SettingsError, match="different token"):
        connect(config, token=other_token(server), server_public_key_id="43")

    assert config.read_storage() == before


def test_the_same_token_on_a_bound_configuration_binds_nothing(server: Any, connect: Any) -> None:
    config = InMemoryKeyValueStorage()
    connect(config).bind()

    assert connect(config).bind() is False


def test_a_token_left_behind_by_a_crash_is_removed(server: Any, connect: Any) -> None:
    config = InMemoryKeyValueStorage()
    connect(config).bind()
    config.set("clientKey", to_url_safe(server.token))

    connect(config, token=None)

    assert not config.contains("clientKey")


def test_an_unbound_configuration_without_a_token_is_refused() -> None:
    with pytest.raises(SettingsError, match="Cannot locate One Time Token"):
        SecretsManager(config=InMemoryKeyValueStorage())


def test_no_configuration_is_refused_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError) as caught:
        SecretsManager()

    assert "open_storage" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def test_the_default_configuration_is_the_official_file(
    server: Any, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_CONFIG_FILE", str(tmp_path / "config.json"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(connect.ca_file))
    first = SecretsManager(
        server.token_text,
        server_public_key=server.server_public_key,
        server_public_key_id=server.public_key_id,
    )

    assert first.bind() is True

    assert stat.S_IMODE((tmp_path / "config.json").stat().st_mode) == 0o600
    assert SecretsManager().get_secrets() == []


def test_an_unusable_ca_variable_is_refused_before_the_token_is_stored(
    server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    config = InMemoryKeyValueStorage()

    with pytest.raises(SettingsError, match="REQUESTS_CA_BUNDLE"):
        SecretsManager(server.token_text, config=config)

    assert config.read_storage() == {}


def test_a_bound_client_checks_a_ca_variable_with_its_first_request(
    server: Any, connect: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = InMemoryKeyValueStorage()
    connect(config).bind()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    asked = len(server.asked)

    manager = SecretsManager(config=config)

    with pytest.raises(SettingsError, match="REQUESTS_CA_BUNDLE"):
        manager.get_secrets()
    assert len(server.asked) == asked


def test_a_truncated_token_is_never_sent(server: Any, connect: Any) -> None:
    manager = connect(token=server.token_text[:-3])

    with pytest.raises(SettingsError, match="not 32 bytes"):
        manager.get_secrets()

    assert server.asked == []


def test_an_application_key_under_another_token_is_refused(server: Any, connect: Any) -> None:
    manager = connect()
    server.token = os.urandom(32)

    with pytest.raises(ServerAnswerError, match="cannot decrypt"):
        manager.bind()


@pytest.mark.parametrize("key_id", ["42\n", "42 43", "\u0661"])
def test_an_unusable_id_of_a_server_key_spends_no_token_and_stores_nothing(
    server: Any, connect: Any, key_id: str
) -> None:
    config = InMemoryKeyValueStorage()

    with pytest.raises(SettingsError, match="is not a valid id"):
        connect(config, server_public_key_id=key_id)

    assert config.is_empty()


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_the_official_storages_serve_the_engine_and_then_the_official_package(
    server: Any, connect: Any, tmp_path: Path, kind: str
) -> None:
    path = str(tmp_path / "config.json")
    config: Any = FileKeyValueStorage(path) if kind == "file" else OfficialInMemory()

    assert connect(config).bind() is True

    assert len(connect(config, token=None).get_secrets()) == 0
    assert Official(config=config).get_secrets is not None


def test_a_token_from_the_environment_binds_where_it_says(
    server: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = InMemoryKeyValueStorage()
    monkeypatch.setenv("KSM_TOKEN", server.token_text)

    assert connect(config, token=None).bind() is True
    assert config.get("hostname") == server.host


def test_a_token_in_the_environment_of_a_bound_device_is_ignored(
    server: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = InMemoryKeyValueStorage()
    connect(config).bind()
    monkeypatch.setenv("KSM_TOKEN", "US:nonsense")

    assert connect(config, token=None).bind() is False


def test_an_application_key_of_another_length_is_refused(server: Any, connect: Any) -> None:
    config = InMemoryKeyValueStorage()
    server.app_key = os.urandom(31)

    with pytest.raises(ServerAnswerError, match="31 bytes"):
        connect(config).bind()

    assert not config.contains("appKey")


@pytest.mark.parametrize(("key", "key_id"), [(None, "99"), ("AAAA", "42")])
def test_an_unusable_server_key_spends_no_token_and_stores_nothing(
    server: Any, connect: Any, key: str | None, key_id: str
) -> None:
    config = InMemoryKeyValueStorage()

    with pytest.raises(SettingsError, match="server public key"):
        connect(config, server_public_key=key, server_public_key_id=key_id)

    assert config.is_empty()

"""A one-time token is spent once, at the right server, and not before all else is known to work."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core.configkeys import ConfigKeys
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage as OfficialInMemory

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.engine import InMemoryKeyValueStorage, SecretsManager, TokenExpiredError
from ksm_storage.wire import api_errors
from ksm_storage.wire.base64_forms import to_url_safe
from ksm_storage.wire.keys import client_id_from_token, new_private_key, public_point_of

SECRET = bytes(range(32))
TOKEN = to_url_safe(SECRET)


def another_token(server: Any) -> str:
    server.token = os.urandom(32)
    server.clients[client_id_from_token(server.token)] = None
    return str(server.token_text)


def test_core_17_3_0_a_failed_bind_leaves_a_storage_that_takes_another_token(
    folder: Path, key: str, server: Any, connect: Any, official_sdk: Any
) -> None:
    """There, a bind that the server refused leaves every storage but the plain file with "already
    initialized with a different token"; here, the next token binds.
    """
    config = OfficialInMemory()
    official_sdk.SecretsManager(token=f"EU:{TOKEN}", config=config)
    with pytest.raises(Exception, match="already initialized with a different token"):
        official_sdk.SecretsManager(token=f"EU:{to_url_safe(bytes(32))}", config=config)

    storage = ksm_storage.open_storage(folder / "config", keys=[key])
    server.refuse(api_errors.TOKEN_EXPIRED)
    with pytest.raises(TokenExpiredError):
        connect(storage).bind()
    assert connect(storage, token=another_token(server)).bind() is True
    assert ksm_storage.open_storage(folder / "config").contains("appKey")


@pytest.mark.parametrize("name", ["two words", "x" * 65, "../x"])
def test_ksm_829_a_bad_profile_name_costs_no_token(
    folder: Path,
    key: str,
    server: Any,
    ca_file: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There, a profile name was checked after the token had been redeemed; here, nothing is sent
    and no file is made.
    """
    path = folder / "config"
    address = ("--hostname", server.host, "--ca-file", str(ca_file))
    public_key = ("--server-key-id", server.public_key_id, "--server-key", server.server_public_key)
    named = ("--profile", name, "--key", key)

    monkeypatch.setenv("KSM_TOKEN", to_url_safe(server.token))

    code = main(["init", str(path), *named, *address, *public_key])

    assert code == 2
    assert server.requests == []
    assert not path.exists()


def test_core_17_3_0_a_token_with_host_and_port_keeps_both(
    server: Any, connect: Any, official_sdk: Any
) -> None:
    """There, ``host:port:TOKEN`` loses the port and takes it for the token; here, it is that host,
    that port and that token.
    """
    config = OfficialInMemory()
    official_sdk.SecretsManager(token=f"localhost:8443:{TOKEN}", config=config)
    assert config.get(ConfigKeys.KEY_HOSTNAME) == "localhost"
    assert config.get(ConfigKeys.KEY_CLIENT_KEY) == "8443"

    assert connect(token=server.token_text).bind() is True


def test_core_17_3_0_a_token_in_the_environment_keeps_its_region(
    monkeypatch: pytest.MonkeyPatch, official_sdk: Any
) -> None:
    """There, ``KSM_TOKEN=EU:...`` goes to the server in the United States; here, to the EU."""
    monkeypatch.setenv("KSM_TOKEN", f"EU:{TOKEN}")
    config = OfficialInMemory()
    official = official_sdk.SecretsManager(config=config, hostname=None)
    assert "keepersecurity.eu" not in {official.hostname, config.get(ConfigKeys.KEY_HOSTNAME)}

    ours = InMemoryKeyValueStorage()
    SecretsManager(config=ours)
    assert ours.get("hostname") == "keepersecurity.eu"


def test_core_17_3_0_an_il5_token_in_the_environment_gives_the_right_client(
    monkeypatch: pytest.MonkeyPatch, official_sdk: Any
) -> None:
    """There, an IL5 token in ``KSM_TOKEN`` gives a client id that no server knows, and loses the
    server's key; here, both are as in the token.
    """
    point = to_url_safe(public_point_of(new_private_key()))
    monkeypatch.setenv("KSM_TOKEN", f"IL5:{TOKEN}:25:{point}")
    client_id = client_id_from_token(SECRET)
    digest = hmac.new(SECRET, b"KEEPER_SECRETS_MANAGER_CLIENT_ID", hashlib.sha512).digest()
    assert client_id == base64.b64encode(digest).decode()
    config = OfficialInMemory()
    official_sdk.SecretsManager(config=config)
    assert config.get(ConfigKeys.KEY_CLIENT_ID) != client_id

    ours = InMemoryKeyValueStorage()
    SecretsManager(config=ours)
    assert ours.get("clientId") == client_id
    assert (ours.get("serverPublicKeyId"), ours.get("serverPublicKey")) == ("25", point)

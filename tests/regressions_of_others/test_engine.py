"""The engine waits, follows and remembers within bounds."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ksm_storage.engine import InMemoryKeyValueStorage, SecretsManager, ServerUnreachableError
from ksm_storage.wire.api_errors import key_change
from ksm_storage.wire.base64_forms import to_url_safe
from tests.engine.sealed_secrets import login, record

TOKEN = to_url_safe(bytes(range(32)))


class AskedTooOftenError(Exception):
    """End what would go on for ever."""


def test_core_17_3_0_a_silent_server_is_given_up(ca_file: Path) -> None:
    """There, requests have no time-out, so that a silent server hangs the application for ever;
    here, connecting and reading are bounded.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        host = f"localhost:{silent.getsockname()[1]}"
        manager = SecretsManager(
            token=f"{host}:{TOKEN}",
            config=InMemoryKeyValueStorage(),
            ca_file=ca_file,
            connect_timeout_seconds=0.2,
            read_timeout_seconds=0.2,
        )
        with pytest.raises(ServerUnreachableError, match="in time"):
            manager.bind()


def test_core_17_3_0_another_server_key_is_not_asked_for_without_end(
    server: Any, bound: Any, official_sdk: Any
) -> None:
    """There, a server that always asks for another public key is asked again without a limit; here,
    it is followed three times.
    """
    from keeper_secrets_manager_core.dto.payload import KSMHttpResponse
    from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage

    asked: list[str] = []

    class Refused:
        text, status_code, reason = '{"error": "key", "key_id": "7"}', 403, "Forbidden"

    def post(*arguments: Any) -> Any:
        asked.append("get_secret")
        if len(asked) > 50:
            raise AskedTooOftenError
        return KSMHttpResponse(403, None, Refused())

    official = official_sdk.SecretsManager(
        token=f"EU:{TOKEN}", config=InMemoryKeyValueStorage(), custom_post_function=post
    )
    with pytest.raises(AskedTooOftenError):
        official.get_secrets()

    before = len(server.requests)
    for _ in range(50):
        server.reply(403, key_change(server.public_key_id))
    with pytest.raises(Exception, match="key"):
        bound.get_secrets()
    assert len(server.requests) - before <= 4


def test_core_17_3_0_a_copy_of_the_answer_does_not_hold_its_key(
    server: Any, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, official_sdk: Any
) -> None:
    """There, the cache begins with the key of the answer behind it, readable by everyone; here, the
    offline copy is sealed under a key that the configuration alone gives.
    """
    from keeper_secrets_manager_core.core import KSMCache
    from keeper_secrets_manager_core.dto.payload import KSMHttpResponse, TransmissionKey

    key, answer = os.urandom(32), b"sealed under the key"
    monkeypatch.setenv("KSM_CACHE_DIR", str(tmp_path))
    reply = KSMHttpResponse(200, answer)
    monkeypatch.setattr(official_sdk.SecretsManager, "post_function", lambda *_: reply)
    KSMCache.caching_post_function("", TransmissionKey("10", key, b""), None)
    assert (tmp_path / "ksm_cache.bin").read_bytes() == key + answer

    entry = record(login("one", password="pass-canary"), server.app_key)
    server.answers["get_secret"] = {"records": [entry], "folders": []}
    config, copy = InMemoryKeyValueStorage(), tmp_path / "copy"
    connect(config, offline_copy=copy).get_secrets()

    raw = copy.read_bytes()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert server.app_key not in raw
    assert b"pass-canary" not in raw
    assert entry["data"].encode() not in raw

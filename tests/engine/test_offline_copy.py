"""The offline copy serves when the server is out of reach, and at no other time."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import struct
from pathlib import Path
from typing import Any

import pytest

from ksm_storage.engine import (
    ClientRevokedError,
    InMemoryKeyValueStorage,
    ServerAnswerError,
    ServerThrottledError,
    ServerUnreachableError,
)
from ksm_storage.engine.offline_copy import OfflineCopy
from ksm_storage.errors import DecryptionError, StorageError
from ksm_storage.wire import api_errors
from tests.engine.sealed_secrets import login, record

KEY = os.urandom(32)
DOWN = (503, b"down")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "copy"


@pytest.fixture
def manager(server: Any, connect: Any, path: Path) -> Any:
    entries = [record(login("one", password="pass-canary"), server.app_key)]
    entries.append(record(login("two"), server.app_key))
    server.answers["get_secret"] = {"records": entries, "expiresOn": None}
    made = connect(InMemoryKeyValueStorage(), offline_copy=path, offline_max_age_seconds=100)
    made.get_secrets()
    return made


def test_an_unreachable_server_is_replaced_by_the_copy(server: Any, manager: Any) -> None:
    server.reply(*DOWN)

    response = manager.get_secrets(full_response=True)

    assert [r.title for r in response.records] == ["one", "two"]
    assert response.offline_since is not None


def test_the_copy_is_filtered_as_the_server_would(server: Any, manager: Any) -> None:
    uid = server.answers["get_secret"]["records"][1]["recordUid"]
    server.reply(*DOWN)

    assert [r.title for r in manager.get_secrets([uid])] == ["two"]


def test_an_answer_from_the_server_is_not_from_the_copy(manager: Any) -> None:
    assert manager.get_secrets(full_response=True).offline_since is None


def test_without_being_asked_for_there_is_no_copy(server: Any, bound: Any, tmp_path: Path) -> None:
    bound.get_secrets()
    server.reply(*DOWN)

    with pytest.raises(ServerUnreachableError):
        bound.get_secrets()


def test_a_part_of_the_records_does_not_replace_the_copy(server: Any, manager: Any) -> None:
    manager.get_secrets([server.answers["get_secret"]["records"][0]["recordUid"]])
    server.reply(*DOWN)

    assert len(manager.get_secrets()) == 2


@pytest.mark.parametrize("answer", [None, ["no object"]])
def test_an_answer_that_holds_nothing_does_not_replace_the_copy(
    server: Any, manager: Any, answer: Any
) -> None:
    kept = server.answers["get_secret"]
    server.answers["get_secret"] = answer
    with contextlib.suppress(ServerAnswerError):
        manager.get_secrets()
    server.answers["get_secret"] = kept
    server.reply(*DOWN)

    assert len(manager.get_secrets()) == 2


def test_a_refusal_is_not_hidden_by_the_copy(server: Any, manager: Any, path: Path) -> None:
    server.refuse(api_errors.CLIENT_REVOKED)

    with pytest.raises(ClientRevokedError):
        manager.get_secrets()

    assert not path.exists()


def test_throttling_is_not_hidden_by_the_copy(server: Any, manager: Any, path: Path) -> None:
    server.refuse(api_errors.TOO_MANY_REQUESTS, times=6)

    with pytest.raises(ServerThrottledError):
        manager.get_secrets()

    assert path.exists()


def test_the_copy_is_private_and_holds_no_plaintext(path: Path, manager: Any) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"recordUid" not in path.read_bytes()
    assert b"pass-canary" not in path.read_bytes()
    assert [entry.name for entry in path.parent.iterdir()] == ["copy"]


def test_access_that_has_expired_meanwhile_is_not_served_offline(server: Any, manager: Any) -> None:
    server.answers["get_secret"]["expiresOn"] = 1_000
    manager.get_secrets()
    server.reply(*DOWN)

    with pytest.raises(ServerUnreachableError) as caught:
        manager.get_secrets()

    assert "expired" in (caught.value.hint or "")


def test_a_missing_copy_leaves_the_first_error(server: Any, manager: Any, path: Path) -> None:
    path.unlink()
    server.reply(*DOWN)

    with pytest.raises(ServerUnreachableError) as caught:
        manager.get_secrets()

    assert "cannot read the offline copy" in (caught.value.hint or "")


def test_a_copy_that_cannot_be_written_does_not_hide_the_answer(
    server: Any, connect: Any, tmp_path: Path
) -> None:
    manager = connect(offline_copy=tmp_path / "no folder" / "copy")

    assert list(manager.get_secrets()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_or_a_device_is_never_replaced_by_a_copy(
    manager: Any, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.unlink()
    os.mkfifo(path)

    manager.get_secrets()

    assert path.is_fifo()
    assert "cannot write the offline copy" in caplog.text


@pytest.mark.parametrize(("age", "served"), [(0, True), (100, True), (101, False), (-301, False)])
def test_the_age_limit_is_kept(path: Path, age: int, served: bool) -> None:
    OfflineCopy(path, max_age_seconds=100, clock=lambda: 1000.0).save(b"{}", KEY)
    later = OfflineCopy(path, max_age_seconds=100, clock=lambda: 1000.0 + age)

    if served:
        assert later.load(KEY)[0] == b"{}"
    else:
        with pytest.raises(StorageError, match="seconds old"):
            later.load(KEY)


@pytest.mark.parametrize("position", [0, 27, 34, 40, -1])
def test_an_altered_copy_is_a_decryption_error(path: Path, position: int) -> None:
    copy = OfflineCopy(path, max_age_seconds=1e9)
    copy.save(b"{}", KEY)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)

    with pytest.raises(DecryptionError):
        copy.load(KEY)


def test_a_copy_cannot_be_made_younger(path: Path) -> None:
    copy = OfflineCopy(path, max_age_seconds=100, clock=lambda: 1000.0)
    copy.save(b"{}", KEY)
    content = path.read_bytes()
    path.write_bytes(content[:27] + struct.pack(">Q", 5000) + content[35:])

    with pytest.raises(DecryptionError):
        OfflineCopy(path, max_age_seconds=100, clock=lambda: 5000.0).load(KEY)


def test_a_copy_of_another_device_is_a_decryption_error(path: Path) -> None:
    copy = OfflineCopy(path, max_age_seconds=100)
    copy.save(b"{}", KEY)

    with pytest.raises(DecryptionError, match="another client device"):
        copy.load(os.urandom(32))


def test_a_failed_save_keeps_the_old_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = OfflineCopy(path, max_age_seconds=100)
    copy.save(json.dumps({"n": 1}).encode(), KEY)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    copy.save(json.dumps({"n": 2}).encode(), KEY)

    assert json.loads(copy.load(KEY)[0]) == {"n": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["copy"]

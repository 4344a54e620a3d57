"""The client for asyncio: one protocol, its own transport, sharing, cancellation and time-outs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ksm_storage.engine import (
    BackoffPolicy,
    ClientSettingsError,
    CreateOptions,
    InMemoryKeyValueStorage,
    KeeperFileUpload,
    KSMHttpResponse,
    RecordCreate,
    ServerAnswerError,
    ServerRefusedError,
    ServerThrottledError,
    ServerUnreachableError,
)
from ksm_storage.engine.aio import SecretsManager
from ksm_storage.errors import SettingsError
from ksm_storage.wire import api_errors
from ksm_storage.wire.aes import gcm_seal
from ksm_storage.wire.api_errors import throttle
from ksm_storage.wire.base64_forms import new_uid, to_base64
from tests.engine.loopback_server import LoopbackServer
from tests.engine.sealed_secrets import login, record, shared_folder

UID, FOLDER_UID = new_uid(), new_uid()
FOLDER_KEY = bytes(range(32))


@pytest.fixture
def connect_async(server: LoopbackServer, ca_file: Any) -> Callable[..., SecretsManager]:
    """Make an async client of the server with its token, over an empty configuration."""

    def make(config: Any = None, **arguments: Any) -> SecretsManager:
        arguments.setdefault("token", server.token_text)
        arguments.setdefault("server_public_key", server.server_public_key)
        arguments.setdefault("server_public_key_id", server.public_key_id)
        arguments.setdefault("ca_file", ca_file)
        return SecretsManager(config=config or InMemoryKeyValueStorage(), **arguments)

    return make


@pytest.fixture
def filled(server: LoopbackServer) -> LoopbackServer:
    """Give the server a record, and a folder to write to."""
    entry = record(login("Database"), server.app_key, uid=UID)
    folder = shared_folder(server.app_key, FOLDER_KEY, [], FOLDER_UID)
    server.answers["get_secret"] = {"records": [entry], "folders": [folder]}
    sealed = to_base64(gcm_seal(server.app_key, FOLDER_KEY))
    server.answers["get_folders"] = {"folders": [{"folderUid": FOLDER_UID, "folderKey": sealed}]}
    return server


class Held:
    """Hold back the server's answers to one path, before it has looked at the request or after."""

    def __init__(self, server: LoopbackServer, path: str, *, after: bool = False) -> None:
        self.arrived, self.release = threading.Event(), threading.Event()
        self._answer, self._path, self._after = server.handle_post, path, after
        server.handle_post = self._held  # type: ignore[method-assign]

    def _held(self, path: str, headers: dict[str, str], body: bytes) -> Any:
        if not path.endswith(self._path):
            return self._answer(path, headers, body)
        made = self._answer(path, headers, body) if self._after else None
        self.arrived.set()
        self.release.wait(10)
        return made or self._answer(path, headers, body)

    async def has_arrived(self) -> None:
        assert await asyncio.to_thread(self.arrived.wait, 10)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine; it must not leave a task behind."""

    async def checked() -> None:
        await test
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, left = await asyncio.wait(others, timeout=5)
            assert not left

    asyncio.run(checked())


def test_a_record_is_read_by_uid_title_and_notation(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        manager = connect_async()

        (by_uid,) = await manager.get_secrets([UID])
        by_title = await manager.get_secret_by_title("Database")

        assert by_uid.password == by_title.password == "correct horse"
        assert await manager.get_notation(f"keeper://{UID}/field/password") == "correct horse"
        assert await manager.get_notation_results("Database/field/login") != []
        assert await manager.try_get_notation_results("nothing/field/login") == []

    run(test())


def test_the_first_answer_says_that_the_call_bound_the_device(
    filled: Any, connect_async: Any
) -> None:
    async def test() -> None:
        manager = connect_async()

        first = await manager.get_secrets(full_response=True)
        second = await manager.get_secrets(full_response=True)

        assert (first.justBound, second.justBound) == (True, False)
        assert await manager.bind() is False

    run(test())


def test_calls_at_the_same_time_bind_once_and_share_a_request(
    filled: Any, connect_async: Any
) -> None:
    async def test() -> None:
        manager = connect_async()

        answers = await asyncio.gather(*(manager.get_secrets([UID]) for _ in range(20)))

        assert all(records[0].password == "correct horse" for records in answers)
        assert answers[0][0] is not answers[1][0]

    run(test())

    assert [path for path, _ in filled.asked] == ["get_secret", "get_secret"]


def test_a_loop_of_another_thread_asks_for_itself(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        manager = connect_async()
        await manager.bind()
        held = Held(filled, "get_secret")
        first = asyncio.create_task(manager.get_secrets([UID]))
        await held.has_arrived()
        held.arrived.clear()

        there = asyncio.to_thread(lambda: asyncio.run(manager.get_secrets([UID])))
        second = asyncio.create_task(there)
        await held.has_arrived()
        held.release.set()

        assert [records[0].uid for records in await asyncio.gather(first, second)] == [UID, UID]

    run(test())


def test_calls_that_ask_something_else_do_not_share(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        manager = connect_async()
        await manager.bind()
        await asyncio.gather(manager.get_secrets(), manager.get_secrets([UID]))

    run(test())

    assert len(filled.asked) == 3


def test_a_read_after_a_change_is_a_question_of_its_own(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        manager = connect_async()
        (found,) = await manager.get_secrets([UID])
        held = Held(filled, "get_secret")
        before = asyncio.create_task(manager.get_secrets([UID]))
        await held.has_arrived()

        await manager.save(found)
        after = asyncio.create_task(manager.get_secrets([UID]))
        await asyncio.sleep(0)
        held.release.set()
        await asyncio.gather(before, after)

    run(test())

    assert [path for path, _ in filled.asked].count("get_secret") == 4


def test_one_cancelled_caller_leaves_the_request_to_the_others(
    filled: Any, connect_async: Any
) -> None:
    async def test() -> None:
        manager = connect_async()
        await manager.bind()
        held = Held(filled, "get_secret")
        first = asyncio.create_task(manager.get_secrets([UID]))
        second = asyncio.create_task(manager.get_secrets([UID]))
        await held.has_arrived()

        first.cancel()
        held.release.set()

        assert (await second)[0].password == "correct horse"
        assert first.cancelled()

    run(test())


def test_a_cancelled_read_ends_at_once(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        manager = connect_async()
        await manager.bind()
        held = Held(filled, "get_secret")
        task = asyncio.create_task(manager.get_secrets())
        await held.has_arrived()

        task.cancel()
        await asyncio.wait([task], timeout=5)

        assert task.cancelled()
        held.release.set()
        await asyncio.sleep(0)

    run(test())


def test_a_cancelled_upload_ends_whole(filled: Any, connect_async: Any) -> None:
    filled.answers["add_file"] = {"url": f"https://{filled.host}/upload", "parameters": "{}"}

    async def test() -> None:
        manager = connect_async()
        (found,) = await manager.get_secrets([UID])
        held = Held(filled, "add_file", after=True)
        file = KeeperFileUpload("a.txt", data=b"content")
        task = asyncio.create_task(manager.upload_file(found, file))
        await held.has_arrived()

        task.cancel()
        await asyncio.sleep(0.01)
        task.cancel()
        held.release.set()
        await asyncio.wait([task], timeout=5)

        assert task.cancelled()
        assert found.get_standard_field("fileRef") is not None

    run(test())

    assert len(filled.uploads) == 1


def test_a_change_whose_caller_is_cancelled_is_known_to_the_record(
    filled: Any, connect_async: Any
) -> None:
    filled.answers["update_secret"] = {}

    async def test() -> None:
        manager = connect_async()
        (found,) = await manager.get_secrets([UID])
        held = Held(filled, "update_secret", after=True)
        task = asyncio.create_task(manager.save(found))
        await held.has_arrived()

        task.cancel()
        await asyncio.sleep(0.01)
        still_running = not task.done()
        held.release.set()
        await asyncio.wait([task], timeout=5)

        assert still_running
        assert task.cancelled()

    run(test())


def test_a_cancelled_change_that_was_throttled_is_not_sent_again(
    filled: Any, connect_async: Any
) -> None:
    async def test() -> None:
        manager = connect_async()
        (found,) = await manager.get_secrets([UID])
        sent = len(filled.asked)
        filled.reply(403, throttle(20))
        task = asyncio.create_task(manager.save(found))
        while not manager._transport._sleeping:
            await asyncio.sleep(0.001)

        task.cancel()
        await asyncio.wait([task], timeout=5)

        assert task.cancelled()
        assert len(filled.asked) == sent + 1

    run(test())


def test_a_cancelled_bind_can_be_resumed(filled: Any, connect_async: Any) -> None:
    config = InMemoryKeyValueStorage()

    async def test() -> None:
        manager = connect_async(config)
        held = Held(filled, "get_secret", after=True)
        task = asyncio.create_task(manager.bind())
        await held.has_arrived()
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
        held.release.set()

        assert await connect_async(config).get_secrets([UID]) != []

    run(test())


def test_a_call_has_a_limit_of_its_own(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        config = InMemoryKeyValueStorage()
        await connect_async(config).bind()
        manager = connect_async(config, call_timeout_seconds=0.05)
        held = Held(filled, "get_secret")

        with pytest.raises(
            ServerUnreachableError, match=r"no complete answer within 0\.05 seconds"
        ):
            await manager.get_secrets()
        held.release.set()

    run(test())


def test_the_limit_includes_the_waits_for_the_servers_counter(
    filled: Any, connect_async: Any
) -> None:
    async def test() -> None:
        config = InMemoryKeyValueStorage()
        await connect_async(config).bind()
        manager = connect_async(config, call_timeout_seconds=0.05)
        filled.refuse(api_errors.TOO_MANY_REQUESTS, times=9)

        with pytest.raises(ServerUnreachableError, match="within"):
            await manager.get_secrets()

    run(test())


def test_the_loop_goes_on_while_a_throttled_call_waits(filled: Any, connect_async: Any) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def test() -> None:
        manager = connect_async(backoff=BackoffPolicy(sleep=sleep, uniform=lambda a, b: 0.0))
        await manager.bind()
        filled.reply(429, throttle(4), {"Retry-After": "6"})
        await asyncio.gather(manager.get_secrets(), manager.get_secrets([UID]))

    run(test())

    assert waits == [6]


def test_who_is_throttled_without_end_gives_up(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        manager = connect_async(backoff=BackoffPolicy(retries=0))
        await manager.bind()
        filled.reply(429, throttle(4))
        with pytest.raises(ServerThrottledError):
            await manager.get_secrets()

    run(test())


def test_a_record_is_created_in_a_folder(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        manager = connect_async()
        new = RecordCreate("login", "Made")
        uid = await manager.create_secret_with_options(CreateOptions(FOLDER_UID), new)
        assert len(uid) == 22

    run(test())

    assert filled.asked[-1][0] == "create_secret"


def test_a_file_is_downloaded_by_the_manager(filled: Any, connect_async: Any) -> None:
    key, content = bytes(32), b"file content"
    filled.files["x"] = gcm_seal(key, content)
    description = {"name": "x.txt", "size": len(content)}
    files = [(description, filled.file_url("x"), key)]
    entry = record(login("With file"), filled.app_key, uid=UID, files=files)
    filled.answers["get_secret"] = {"records": [entry]}

    async def test() -> None:
        manager = connect_async()
        (found,) = await manager.get_secrets([UID])
        file = found.files[0]

        with pytest.raises(ClientSettingsError, match="not been downloaded"):
            file.get_file_data()
        assert await manager.download_file(file) == content
        assert file.get_file_data() == content
        assert await manager.get_notation(f"{UID}/file/x.txt") == content

    run(test())


def test_a_refusal_has_the_class_of_the_blocking_client(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        manager = connect_async()
        await manager.bind()
        filled.reply(403, {"error": "access_denied", "message": "no"})
        with pytest.raises(ServerRefusedError):
            await manager.get_secrets()

    run(test())


def test_a_custom_post_function_may_be_a_coroutine(filled: Any, connect_async: Any) -> None:
    async def post(url: str, key: Any, *_: object) -> KSMHttpResponse:
        await asyncio.sleep(0)
        return KSMHttpResponse(200, gcm_seal(key.key, b'{"records": []}'))

    async def test() -> None:
        config = InMemoryKeyValueStorage()
        await connect_async(config).bind()

        assert await connect_async(config, custom_post_function=post).get_secrets() == []

    run(test())


def test_the_offline_copy_is_read_when_the_server_is_silent(
    filled: Any, connect_async: Any, tmp_path: Any
) -> None:
    async def test() -> None:
        config = InMemoryKeyValueStorage()
        manager = connect_async(config, offline_copy=tmp_path / "copy")
        await manager.get_secrets()
        filled.reply(200, b"not an answer")
        config.set("hostname", "localhost:1")

        response = await manager.get_secrets(full_response=True)

        assert response.offline_since is not None
        assert response.records[0].password == "correct horse"

    run(test())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"verify_ssl_certs": False}, "cannot be disabled"),
        ({"ca_file": "/nothing/ca.pem"}, "the file '/nothing/ca.pem' of the argument ca_file"),
        ({"read_timeout_seconds": 0}, "time-out"),
    ],
)
def test_what_is_wrong_without_a_request_is_said_by_the_constructor(
    connect_async: Any, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        connect_async(**arguments)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("localhost:1", "cannot connect to 'localhost:1'"),
        ("no-such-host.invalid", "cannot resolve the hostname 'no-such-host.invalid'"),
    ],
)
def test_an_unreachable_server_is_named(connect_async: Any, host: str, words: str) -> None:
    async def test() -> None:
        config = InMemoryKeyValueStorage()
        manager = connect_async(config, token=f"{'A' * 43}", hostname=host)
        with pytest.raises(ServerUnreachableError, match=words):
            await manager.get_secrets()

    run(test())


def test_another_authority_is_not_trusted(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        with pytest.raises(ServerUnreachableError, match="the certificate of 'localhost'"):
            await connect_async(ca_file=None).get_secrets()

    run(test())


def test_another_name_than_the_certificates_is_not_trusted(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        manager = connect_async(token="A" * 43, hostname=f"127.0.0.1:{filled.port}")
        with pytest.raises(ServerUnreachableError, match="it was issued for another name"):
            await manager.get_secrets()

    run(test())


def test_a_silent_server_is_given_up(filled: Any, connect_async: Any) -> None:
    async def test() -> None:
        manager = connect_async(read_timeout_seconds=0.1)
        held = Held(filled, "get_secret")
        with pytest.raises(ServerUnreachableError, match="did not answer in time"):
            await manager.get_secrets()
        held.release.set()

    run(test())


def test_a_longer_file_than_described_is_refused(filled: Any, connect_async: Any) -> None:
    filled.files["long"] = bytes(1000)

    async def test() -> None:
        transport = connect_async()._transport
        with pytest.raises(ServerAnswerError, match="longer than 999 bytes"):
            await transport.get(filled.file_url("long"), limit=999)

    run(test())


def test_redirects_are_followed_a_few_times_and_only_to_https(
    filled: Any, connect_async: Any
) -> None:
    filled.files["x"] = b"content"

    async def test() -> None:
        transport = connect_async()._transport
        filled.reply(302, b"", {"Location": filled.file_url("x")})
        assert (await transport.get(filled.file_url("y"), limit=10)).body == b"content"
        filled.reply(302, b"", {"Location": "http://localhost/"})
        with pytest.raises(ServerAnswerError, match="not https"):
            await transport.get(filled.file_url("y"), limit=10)

    run(test())

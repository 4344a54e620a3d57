"""Requests to a service without an SDK: repeats, redirects, proxies, long replies."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from ksm_storage.errors import SettingsError
from ksm_storage.plugin import Connection, HttpApi, RedirectRefusedError, deadline_of
from ksm_storage.testing.loopback import EchoServer
from ksm_storage.testing.scripted_server import Answer, Request, ScriptedServer

Server = ScriptedServer[Request]
CONNECTION = Connection(None, None, connect_timeout=1, read_timeout=1, deadline=20)
BUSY = Answer(503)


@pytest.fixture
def server() -> Iterator[Server]:
    with ScriptedServer(Answer(body=b"ok"), read=lambda request: request) as running:
        yield running


def send(url: str, *, attempts: int = 4, deadline: float = 20) -> tuple[int, bytes]:
    with deadline_of(deadline):
        reply = HttpApi(url, CONNECTION, attempts=attempts).send(
            "POST", "/x", body=b"b", headers={}
        )
    return reply.status, reply.body


def test_a_failure_that_passes_is_asked_for_again(server: Server) -> None:
    server.answers = [BUSY]

    assert send(server.url) == (200, b"ok")
    assert [(each.path, each.body) for each in server.asked] == [("/x", b"b")] * 2


def test_what_must_not_happen_twice_is_sent_once(server: Server) -> None:
    server.answers = [BUSY]

    assert send(server.url, attempts=1)[0] == 503
    assert len(server.asked) == 1


def test_no_repeat_begins_that_could_end_after_the_deadline(server: Server) -> None:
    server.answer = BUSY

    assert send(server.url, deadline=1.5)[0] == 503
    assert len(server.asked) == 1


def test_a_pause_that_the_service_asks_for_counts(server: Server) -> None:
    server.answer = Answer(429, headers={"Retry-After": "60"})

    assert send(server.url)[0] == 429
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused_with_its_status(server: Server, status: int) -> None:
    server.answer = Answer(status, headers={"Location": "http://127.0.0.1:9/"})

    with pytest.raises(RedirectRefusedError) as caught:
        send(server.url)

    assert caught.value.status == status
    assert len(server.asked) == 1


def test_a_reply_without_end_is_not_read(server: Server) -> None:
    server.answer = Answer(body=bytes(1_100_000))

    with pytest.raises(http.client.HTTPException, match="too long"):
        send(server.url, attempts=1)


def test_https_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with EchoServer(403) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)

        with pytest.raises(OSError, match="403"):
            send("https://service.example", attempts=1)

    assert proxy.connections == 1


def test_a_proxy_over_tls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "https://user:hunter2@proxy.example")
    monkeypatch.delenv("no_proxy", raising=False)

    with pytest.raises(SettingsError, match="https_proxy names an https:// proxy") as caught:
        send("https://service.example")

    assert "hunter2" not in str(caught.value.as_dict())


def test_a_reply_that_ends_early_is_refused_though_it_looks_whole(server: Server) -> None:
    server.answer = Answer(body=b'{"CANARY": 1}', missing_bytes=7)

    with pytest.raises(http.client.HTTPException, match="cut off") as caught:
        send(server.url, attempts=1)

    assert "CANARY" not in repr(vars(caught.value)) + repr(caught.value)


def test_a_debug_level_that_another_library_set_for_all_connections_prints_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)

    send(server.url)

    assert capfd.readouterr() == ("", "")

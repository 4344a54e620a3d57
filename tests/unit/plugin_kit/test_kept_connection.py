"""Connections that stay open: used again, replaced when closed, and never out of step."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from ksm_storage.plugin import Connection, HttpApi, HttpReply, deadline_of

OK = b"HTTP/1.1 200 OK\r\nX-Id: 7\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\no\r\n1\r\nk\r\n0\r\n\r\n"
CLOSE = b"close"
HANG = b"hang"
UNASKED = b"unasked"


class Server:
    """Answer the requests of each connection with the next bytes of its script."""

    def __init__(self, *scripts: Sequence[bytes]) -> None:
        self._scripts = iter(scripts)
        self.requests: list[int] = []
        self.received: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        for number, script in enumerate(self._scripts):
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.requests.append(0)
            threading.Thread(target=self._serve, args=(connection, number, script)).start()

    def _serve(self, connection: socket.socket, number: int, script: Sequence[bytes]) -> None:
        with connection, contextlib.suppress(OSError):
            for answer in script:
                if answer == CLOSE:
                    return
                if answer.startswith(UNASKED):
                    connection.sendall(answer.removeprefix(UNASKED))
                    continue
                request = connection.recv(65_536)
                if not request:
                    return
                self.received.append(request)
                self.requests[number] += 1
                if answer == HANG:
                    self._ended.wait(10)
                    return
                connection.sendall(answer)
            self._ended.wait(10)

    def close(self) -> None:
        self._ended.set()
        self._listening.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    running: list[Server] = []

    def started(*scripts: Sequence[bytes]) -> Server:
        running.append(Server(*scripts))
        return running[-1]

    yield started
    for server in running:
        server.close()


def api(server: Server, *, read_timeout: float = 5.0) -> HttpApi:
    connection = Connection(None, None, 1, read_timeout, 20)
    return HttpApi(server.url, connection, attempts=1, kept=True)


def ask(client: HttpApi, *, seconds: float = 10) -> HttpReply:
    with deadline_of(seconds):
        return client.send("POST", "/x", body=b"b", headers={"x-a": "1"})


@pytest.mark.parametrize("answer", [OK, CHUNKED, OK.replace(b"OK", b""), OK.replace(b" OK", b"")])
def test_one_connection_serves_all_requests(serve: Callable[..., Server], answer: bytes) -> None:
    server = serve([answer] * 3)
    client = api(server)

    assert [ask(client).body for _ in range(3)] == [b"ok"] * 3
    assert server.requests == [3]
    host = server.url.removeprefix("http://").encode()
    assert server.received[0] == (
        b"POST /x HTTP/1.1\r\nx-a: 1\r\nhost: %s\r\ncontent-length: 1\r\n\r\nb" % host
    )


def test_headers_are_found_by_their_names_in_lower_case(serve: Callable[..., Server]) -> None:
    reply = ask(api(serve([OK])))

    assert (reply.status, reply.headers["x-id"]) == (200, "7")


def test_requests_at_the_same_time_have_connections_of_their_own(
    serve: Callable[..., Server],
) -> None:
    server = serve(*[[OK] * 8] * 5)
    client = api(server)
    together = threading.Barrier(4)

    def work() -> None:
        for _ in range(2):
            together.wait(10)
            ask(client)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sum(server.requests) == 8
    assert len(server.requests) <= 4


@pytest.mark.parametrize("wait", [0.05, 0.0], ids=["seen before", "seen by the request"])
def test_what_the_service_closed_between_requests_is_replaced_once(
    serve: Callable[..., Server], wait: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not wait:
        # As if the end came right after the look.
        monkeypatch.setattr("select.select", lambda *_: ([], [], []))
    server = serve([OK, CLOSE], [OK, OK])
    client = api(server)

    ask(client)
    time.sleep(0.05)
    assert [ask(client).body for _ in range(2)] == [b"ok"] * 2

    assert server.requests == [1, 2]


def test_a_new_connection_that_is_closed_is_not_replaced(serve: Callable[..., Server]) -> None:
    server = serve([CLOSE], [OK])

    with pytest.raises(ConnectionResetError):
        ask(api(server))

    assert server.requests == [0]


def test_an_old_connection_is_not_used(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve([OK, OK], [OK])
    client = api(server)
    ask(client)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)

    ask(client)

    assert server.requests == [1, 1]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (OK.replace(b": 2", b": 9"), "cut off"),
        (OK.replace(b": 2", b": 1048577"), "too long"),
        (OK.replace(b": 2", b": -2"), "no length"),
        (OK.replace(b"Content-Length: 2\r\n", b""), "no length"),
        (OK.replace(b"X-Id: 7", b"Content-Length: 2"), "malformed headers"),
        (OK.replace(b"X-Id: 7", b" folded"), "malformed headers"),
        (OK.replace(b"X-Id: 7", b"X" * 70_000), "malformed headers"),
        (OK.replace(b"X-Id: 7", b"\r\n".join([b"X%d: 1" % n for n in range(101)])), "headers"),
        (OK.replace(b"X-Id: 7", b"Transfer-Encoding: chunked"), "transfer encoding"),
        (OK.replace(b"HTTP/1.1", b"HTTP/1.0"), "status line"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "status line"),
        (CHUNKED.replace(b"\r\n0\r\n", b"\r\n-1\r\n"), "chunk"),
        (CHUNKED.replace(b"1;x=y\r\no", b"1;x=y\r\noo"), "chunk"),
        (CHUNKED.replace(b"1;x=y", b"fffff1"), "too long"),
        (CHUNKED[:-5], "chunk"),
        (OK[:-1], "cut off"),
        (OK[:20], "malformed"),
    ],
)
def test_a_reply_that_is_not_whole_is_refused_and_its_connection_closed(
    serve: Callable[..., Server], answer: bytes, message: str
) -> None:
    server = serve([answer, CLOSE], [OK])
    client = api(server)

    with pytest.raises(http.client.HTTPException, match=message) as caught:
        ask(client)

    assert "ok" not in repr(vars(caught.value)).lower()
    assert ask(client).body == b"ok"
    assert server.requests == [1, 1]


@pytest.mark.parametrize("script", [[OK + OK], [OK, UNASKED + OK]], ids=["at once", "later"])
def test_what_comes_beyond_a_reply_is_not_the_next_one(
    serve: Callable[..., Server], script: list[bytes]
) -> None:
    server = serve([*script, OK], [OK.replace(b"ok", b"2.")])
    client = api(server)

    ask(client)
    time.sleep(0.05)

    assert ask(client).body == b"2."
    assert server.requests == [1, 1]


def test_a_reply_that_says_close_ends_the_connection(serve: Callable[..., Server]) -> None:
    server = serve([OK.replace(b"X-Id: 7", b"Connection: Close")], [OK])
    client = api(server)

    assert [ask(client).body for _ in range(2)] == [b"ok"] * 2
    assert server.requests == [1, 1]


def test_a_reply_that_trickles_ends_with_the_deadline(serve: Callable[..., Server]) -> None:
    server = serve([OK, OK[:-1], HANG])
    client = api(server)
    ask(client)
    started = time.monotonic()

    with pytest.raises(TimeoutError):
        ask(client, seconds=0.3)

    assert time.monotonic() - started < 3
    assert server.requests == [2]


def test_a_service_that_hangs_ends_with_the_read_timeout_and_is_not_asked_again(
    serve: Callable[..., Server],
) -> None:
    server = serve([OK, HANG], [OK])
    client = api(server, read_timeout=0.2)
    ask(client)

    with pytest.raises(TimeoutError):
        ask(client)

    assert server.requests == [2]


def test_a_forked_process_uses_no_connection_of_its_parent(serve: Callable[..., Server]) -> None:
    server = serve([OK, OK], [OK])
    client = api(server)
    ask(client)

    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(0 if ask(client).body == b"ok" else 1)
        os._exit(2)
    _, status = os.waitpid(child, 0)
    ask(client)

    assert os.waitstatus_to_exitcode(status) == 0
    assert server.requests == [2, 1]


def test_closing_ends_the_connections(serve: Callable[..., Server]) -> None:
    server = serve([OK, OK], [OK])
    client = api(server)
    ask(client)

    client.close()
    ask(client)

    assert server.requests == [1, 1]


@pytest.mark.parametrize("text", ["a\r\nb: c", "a\nb", "\u20ac"])
def test_a_header_that_is_not_one_line_of_text_is_not_sent(
    serve: Callable[..., Server], text: str
) -> None:
    server = serve([OK])

    with pytest.raises(ValueError), deadline_of(5):  # noqa: PT011  # also UnicodeEncodeError
        api(server).send("POST", "/", body=b"", headers={"x-a": text})

    assert server.received == []

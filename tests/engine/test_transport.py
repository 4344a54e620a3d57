"""TLS is verified, every wait is bounded, and a proxy is used where one is given."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ksm_storage.engine import ServerAnswerError, ServerUnreachableError, transport
from ksm_storage.engine.transport import HttpsTransport, chosen_proxy, run
from ksm_storage.errors import SettingsError


@contextmanager
def silent_server() -> Iterator[int]:
    """Accept connections and never say a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening.getsockname()[1]


@contextmanager
def tunnel(target_port: int) -> Iterator[tuple[int, list[bytes]]]:
    """Be an http proxy that connects every CONNECT to one port of loopback."""
    seen: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(4096)
            seen.append(head)
            upstream = socket.create_connection(("127.0.0.1", target_port))
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=pump, args=(upstream, client), daemon=True)
            back.start()
            pump(client, upstream)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1], seen


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_a_certificate_of_an_unknown_ca_is_refused(server: Any) -> None:
    transport = HttpsTransport()

    with pytest.raises(ServerUnreachableError, match="not trusted") as caught:
        run(transport.get(server.file_url("x"), limit=10))

    assert "ca_file" in (caught.value.hint or "")


def test_a_certificate_of_another_host_is_refused(server: Any, ca_file: Path) -> None:
    transport = HttpsTransport(ca_file=ca_file)

    with pytest.raises(ServerUnreachableError, match="not trusted: it was issued for another name"):
        run(transport.get(f"https://127.0.0.1:{server.port}/files/x", limit=10))


def test_the_ca_of_the_official_package_s_variable_is_used(
    server: Any, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    server.files["x"] = b"content"

    assert run(HttpsTransport().get(server.file_url("x"), limit=10)).body == b"content"


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_ca_file_that_cannot_be_read_is_found_before_any_request(
    server: Any, connect: Any, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SettingsError, match="of the argument ca_file"):
        connect(ca_file=path)

    assert server.asked == []


def test_damaged_certificates_are_found_before_anything_is_sent(
    server: Any, connect: Any, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")

    with pytest.raises(SettingsError, match="of the argument ca_file"):
        connect(ca_file=path)

    assert server.asked == []


def test_no_certificate_is_loaded_before_the_first_connection(
    server: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, made = ssl.create_default_context, []

    def counting(**keywords: Any) -> ssl.SSLContext:
        made.append(keywords)
        return create(**keywords)

    monkeypatch.setattr(ssl, "create_default_context", counting)
    manager = connect()

    assert made == []
    manager.bind()
    manager.get_secrets()
    assert len(made) == 1


def test_a_ca_file_whose_name_can_be_none_is_one_that_cannot_be_read() -> None:
    with pytest.raises(SettingsError, match="of the argument ca_file"):
        HttpsTransport(ca_file="a\0b")


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_verification_cannot_be_switched_off(
    connect: Any, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "environment":
        monkeypatch.setenv("KSM_SKIP_VERIFY", "TRUE")

    with pytest.raises(SettingsError, match="cannot be disabled"):
        connect(verify_ssl_certs=way != "argument")


def test_a_silent_server_is_given_up_in_time(ca_file: Path) -> None:
    transport = HttpsTransport(
        ca_file=ca_file, connect_timeout_seconds=0.05, read_timeout_seconds=0.05
    )

    with silent_server() as port, pytest.raises(ServerUnreachableError, match="in time"):
        run(transport.get(f"https://localhost:{port}/", limit=10))


def test_a_server_that_answers_nothing_is_given_up_in_time(
    server: Any, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    monkeypatch.setattr(type(server), "handle_post", lambda *_: done.wait(5) or (200, b"", {}))
    transport = HttpsTransport(ca_file=ca_file, read_timeout_seconds=0.05)

    with pytest.raises(ServerUnreachableError, match="in time"):
        run(transport.post(f"https://{server.host}/upload", headers={}, body=b"x"))
    done.set()


def test_nobody_listening_is_unreachable_and_retryable(ca_file: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]

    with pytest.raises(
        ServerUnreachableError, match=f"^cannot connect to 'localhost:{port}'"
    ) as caught:
        run(HttpsTransport(ca_file=ca_file).get(f"https://localhost:{port}/", limit=10))

    assert caught.value.retryable


def test_a_download_longer_than_its_limit_is_refused(server: Any, ca_file: Path) -> None:
    server.files["x"] = b"0123456789"

    with pytest.raises(ServerAnswerError, match="longer than 9 bytes"):
        run(HttpsTransport(ca_file=ca_file).get(server.file_url("x"), limit=9))


def test_an_answer_longer_than_any_is_refused(
    server: Any, bound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 9)
    server.reply(200, b"0123456789")

    with pytest.raises(ServerAnswerError, match="longer than 9 bytes"):
        bound.get_secrets()


def test_a_download_that_is_cut_off_may_be_tried_again(server: Any, ca_file: Path) -> None:
    server.reply(200, b"0123456789", {"Content-Length": "20", "Connection": "close"})

    with pytest.raises(ServerUnreachableError) as caught:
        run(HttpsTransport(ca_file=ca_file).get(server.file_url("x"), limit=100))

    assert caught.value.retryable


def test_an_answer_that_is_cut_off_may_be_asked_for_again(server: Any, bound: Any) -> None:
    server.reply(200, b"0123456789", {"Content-Length": "20", "Connection": "close"})

    with pytest.raises(ServerUnreachableError) as caught:
        bound.get_secrets()

    assert caught.value.retryable


def test_a_redirect_to_another_https_address_is_followed(server: Any, ca_file: Path) -> None:
    server.files["x"] = b"content"
    server.reply(302, b"", {"Location": server.file_url("x")})

    assert (
        run(HttpsTransport(ca_file=ca_file).get(server.file_url("y"), limit=10)).body == b"content"
    )


@pytest.mark.parametrize("place", ["http://localhost/x", "file:///etc/passwd"])
def test_a_redirect_to_anything_else_is_refused(server: Any, ca_file: Path, place: str) -> None:
    server.reply(302, b"", {"Location": place})

    with pytest.raises(ServerAnswerError, match="not https"):
        run(HttpsTransport(ca_file=ca_file).get(server.file_url("y"), limit=10))


def test_a_redirect_within_the_host_is_followed(server: Any, ca_file: Path) -> None:
    server.files["x%C3%A9%20y?q=1"] = b"content"
    server.reply(302, b"", {"Location": "x\u00e9 y?q=1"})

    assert (
        run(HttpsTransport(ca_file=ca_file).get(server.file_url("y"), limit=10)).body == b"content"
    )


@pytest.mark.parametrize(
    "url", ["https://[canary/", "https://localhost:99999/canary", "https://localhost:x/canary"]
)
def test_an_address_that_is_none_is_refused_without_repeating_it(
    server: Any, ca_file: Path, url: str
) -> None:
    transport = HttpsTransport(ca_file=ca_file)
    server.reply(302, b"", {"Location": url})

    for first in (url, server.file_url("y")):
        with pytest.raises(ServerAnswerError, match="invalid") as caught:
            run(transport.get(first, limit=10))
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_name_that_can_be_none_is_an_unknown_one(host: str) -> None:
    with pytest.raises(ServerUnreachableError, match="cannot resolve"):
        run(HttpsTransport().get(f"https://{host}/", limit=10))

    with pytest.raises(SettingsError, match="is not a valid proxy address"):
        run(HttpsTransport(proxy_url=f"http://{host}:1").get("https://localhost/", limit=10))


@pytest.mark.parametrize("which", ["connect_timeout_seconds", "read_timeout_seconds"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), None, "10"])
def test_a_time_out_that_bounds_nothing_is_refused(which: str, seconds: Any) -> None:
    with pytest.raises(SettingsError, match="time-out"):
        HttpsTransport(**{which: seconds})


def test_a_time_out_of_centuries_is_a_long_one(server: Any, ca_file: Path) -> None:
    transport = HttpsTransport(
        ca_file=ca_file, connect_timeout_seconds=1e300, read_timeout_seconds=float("inf")
    )
    server.files["x"] = b"content"

    assert run(transport.get(server.file_url("x"), limit=10)).body == b"content"


def test_redirects_without_end_are_refused(server: Any, ca_file: Path) -> None:
    for _ in range(5):
        server.reply(302, b"", {"Location": server.file_url("x")})

    with pytest.raises(ServerAnswerError, match="more than 3 times"):
        run(HttpsTransport(ca_file=ca_file).get(server.file_url("y"), limit=10))


def test_a_proxy_sees_only_the_tunnel(server: Any, connect: Any) -> None:
    with tunnel(server.port) as (port, seen):
        connect(proxy_url=f"http://user:p%40ss@127.0.0.1:{port}").bind()

    assert seen[0].startswith(f"CONNECT {server.host} ".encode())
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in seen[0]
    assert len(server.asked) == 1


def test_the_environment_s_proxy_is_used_unless_the_host_is_excepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,.internal,ksm.example:8443")

    used = chosen_proxy("keepersecurity.eu", 443, given=None)

    assert used is not None
    assert (used.host, used.port) == ("proxy.example", 3128)
    assert chosen_proxy("localhost", 443, given=None) is None
    assert chosen_proxy("ksm.internal", 443, given=None) is None
    assert chosen_proxy("ksm.example", 8443, given=None) is None
    assert chosen_proxy("ksm.example", 443, given=None) is not None


@pytest.mark.parametrize(
    "url", ["socks5://p:1", "http://p p:1", "http://:1", "http://p:port", "http://[p:1"]
)
def test_a_proxy_of_another_kind_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        chosen_proxy("localhost", 443, given=url)

    assert url not in str(caught.value)


def test_a_password_of_a_proxy_may_be_no_text() -> None:
    proxy = chosen_proxy("h", 443, given="http://user:\udcff@p:1")

    assert proxy is not None
    assert proxy.headers == {"Proxy-Authorization": "Basic dXNlcjr/"}


def test_the_password_of_a_proxy_is_not_in_its_repr() -> None:
    proxy = chosen_proxy("h", 443, given="http://user:pass@p:1")

    assert "Basic" not in repr(proxy)

"""Each reason for which no answer comes is told from the others."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ksm_storage.engine import ServerUnreachableError
from ksm_storage.engine.transport import HttpsTransport, run, untrusted


@contextmanager
def refusing_proxy() -> Iterator[int]:
    """Be an http proxy that wants a password."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def test_a_proxy_that_nobody_runs_is_named(server: Any, ca_file: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    transport = HttpsTransport(ca_file=ca_file, proxy_url=f"http://u:canary@127.0.0.1:{port}")

    with pytest.raises(ServerUnreachableError) as caught:
        run(transport.get(server.file_url("x"), limit=10))

    assert str(caught.value) == f"cannot connect to the proxy '127.0.0.1:{port}'"


def test_a_proxy_that_refuses_is_named_without_its_password(server: Any, ca_file: Path) -> None:
    with refusing_proxy() as port:
        transport = HttpsTransport(ca_file=ca_file, proxy_url=f"http://u:canary@127.0.0.1:{port}")
        with pytest.raises(ServerUnreachableError) as caught:
            run(transport.get(server.file_url("x"), limit=10))

    assert str(caught.value).startswith(f"the proxy '127.0.0.1:{port}' refused to connect to")
    assert "$HTTPS_PROXY" in (caught.value.hint or "")
    assert "canary" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("host", "advice"), [("zz", "the regions are US, EU"), ("zz.invalid", "the hostname")]
)
def test_a_name_that_is_not_known_is_told_from_a_server_that_is_down(
    monkeypatch: pytest.MonkeyPatch, host: str, advice: str
) -> None:
    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "said by the resolver")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(
        ServerUnreachableError, match=f"cannot resolve the hostname '{host}'"
    ) as caught:
        run(HttpsTransport().get(f"https://{host}/", limit=10))

    assert advice in (caught.value.hint or "")


def test_an_expired_certificate_is_told_from_one_of_another_ca() -> None:
    expired = ssl.SSLCertVerificationError()
    expired.verify_code = 10

    assert "expired" in str(untrusted(expired, "keepersecurity.eu"))

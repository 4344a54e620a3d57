"""Each reason for which no answer comes is told from the others."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ksm_storage.engine import ServerUnreachableError
from ksm_storage.engine.transport import HttpsTransport, run, untrusted


def test_a_proxy_that_nobody_runs_is_named(server: Any, ca_file: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    transport = HttpsTransport(ca_file=ca_file, proxy_url=f"http://u:canary@127.0.0.1:{port}")

    with pytest.raises(ServerUnreachableError) as caught:
        run(transport.get(server.file_url("x"), limit=10))

    named = "the argument proxy_url (--proxy)"
    assert caught.value.message == f"cannot connect to the proxy '127.0.0.1:{port}' of {named}"
    assert "the proxy's address" in (caught.value.hint or "")
    assert "canary" not in str(caught.value.as_dict())


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


def test_the_way_to_write_a_password_is_shown_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ksm_storage.cli.main import main
    from tests.cli.command import key_file

    monkeypatch.setenv("HTTPS_PROXY", "htp://u:canary@p:1")
    monkeypatch.setenv("KSM_TOKEN", f"US:{'A' * 43}")

    main(["init", str(tmp_path / "c.json"), "--key", key_file(tmp_path)])

    shown = capsys.readouterr().err
    assert "http://[USER:PASSWORD@]HOST:PORT" in " ".join(shown.split())
    assert "canary" not in shown

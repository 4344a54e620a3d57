"""Seal, restart, TLS and what stands between: each state of a server is its documented error."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ksm_storage.plugin import (
    AuthenticationError,
    KsmStorageError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)

from .openbao import OpenBao, binary, free_port
from .opening import AAD, new_dek, opened

Settings = Mapping[str, object]
CIPHERTEXT = "vault:v1:" + "A" * 80


def test_a_server_that_restarts_is_out_of_reach_then_sealed_then_opens(tmp_path: Path) -> None:
    with OpenBao(tmp_path / "raft", raft=True) as bao:
        bao.initialise()
        bao.unseal()
        bao.enable()
        key = opened(f"transit/{bao.new_key()}", {"endpoint": bao.url, "token": bao.root})
        dek = new_dek()
        wrapped = key.wrap(dek, aad=AAD)

        bao.stop()
        with pytest.raises(UnavailableError, match="cannot reach"):
            key.unwrap(wrapped, aad=AAD)
        bao.start()
        with pytest.raises(UnavailableError, match="sealed"):
            key.unwrap(wrapped, aad=AAD)
        bao.unseal()

        assert key.unwrap(wrapped, aad=AAD) == dek


def test_a_private_authority_is_trusted_where_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _tls_server(tmp_path) as (url, ca_file):
        settings = {"endpoint": url, "token": "root"}
        with pytest.raises(ProviderError, match="certificate") as caught:
            opened("transit/app", settings).wrap(new_dek(), aad=AAD)
        assert "ca_file" in str(caught.value.hint)

        assert opened("transit/app", {**settings, "ca_file": ca_file}).wrap(new_dek(), aad=AAD)
        monkeypatch.setenv("VAULT_CACERT", ca_file)
        monkeypatch.setenv("VAULT_ADDR", url)
        assert opened("transit/app", {"token": "root"}).wrap(new_dek(), aad=AAD)


def test_a_namespace_is_sent_with_each_request(
    bao: OpenBao, monkeypatch: pytest.MonkeyPatch, root: Settings
) -> None:
    bao.ask("POST", "sys/namespaces/team", {})
    inside = {"X-Vault-Namespace": "team"}
    bao.ask("POST", "sys/mounts/transit", {"type": "transit"}, headers=inside)
    bao.ask("POST", "transit/keys/only-here", {}, headers=inside)

    assert opened("transit/only-here", {**root, "namespace": "team/"}).wrap(new_dek(), aad=AAD)
    monkeypatch.setenv("VAULT_NAMESPACE", "team")
    assert opened("transit/only-here", root).wrap(new_dek(), aad=AAD)


# What a real server does not do on request.

REPLIES: Mapping[str, tuple[int, object, type[KsmStorageError], str]] = {
    "standby that redirects": (307, {}, UnavailableError, "standby"),
    "moved to https": (301, {}, ProviderError, "redirect"),
    "login page": (302, "<html>", ProviderError, "redirect"),
    "no active node": (
        500,
        {"errors": ["local node not active but active cluster node not found"]},
        UnavailableError,
        "no active node",
    ),
    "not initialized": (503, {"errors": ["Vault is not initialized"]}, UnavailableError, "sealed"),
    "load balancer without a server": (503, "<html>", UnavailableError, "internal error"),
    "performance standby": (473, {}, UnavailableError, "standby"),
    "behind its primary": (412, {"errors": ["required index state"]}, UnavailableError, "behind"),
    "quota": (429, {"errors": ["rate limit quota exceeded"]}, ThrottledError, "throttling"),
    "token of Vault 1.13 and later": (
        403,
        {"errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]},
        AuthenticationError,
        "rejected the token",
    ),
    "firewall": (403, "<html>", PermissionDeniedError, "not allowed to"),
    "unknown text": (400, {"errors": ["a sentence of tomorrow"]}, ProviderError, "status 400"),
    "page of a proxy": (200, "<html>", UnavailableError, "invalid reply"),
    "empty": (200, "", UnavailableError, "invalid reply"),
    "list": (200, [], UnavailableError, "invalid reply"),
    "no data": (200, {"data": None}, UnavailableError, "invalid reply"),
    "data of another type": (200, {"data": {"plaintext": 1}}, UnavailableError, "invalid reply"),
    "plaintext that is not base64": (
        200,
        {"data": {"plaintext": "!"}},
        UnavailableError,
        "invalid reply",
    ),
    "response-wrapped": (
        200,
        {"wrap_info": {"token": "s.x"}},
        ProviderError,
        "response-wrapping token",
    ),
    "Vault before 1.13": (
        200,
        {
            "data": {"plaintext": "AAAA"},
            "warnings": ["Endpoint ignored these unrecognized parameters: [associated_data]"],
        },
        ProviderError,
        "ignored the associated data",
    ),
}


@pytest.mark.parametrize("name", REPLIES)
def test_each_reply_is_its_documented_error(name: str) -> None:
    status, body, kind, words = REPLIES[name]
    text = body if isinstance(body, str) else json.dumps(body)

    with _scripted(status, text) as (url, _), pytest.raises(KsmStorageError) as caught:
        _unwrap({"endpoint": url, "token": "s.secret"})

    error = caught.value
    assert type(error) is kind
    assert words in str(error)
    assert error.__context__ is None
    assert "a sentence of tomorrow" not in f"{error!s} {error.hint}"


def test_a_token_does_not_follow_a_redirect() -> None:
    with (
        _scripted(200, "{}") as (other, seen),
        _scripted(307, "", location=f"{other}/v1/transit/decrypt/app") as (url, _),
        pytest.raises(UnavailableError),
    ):
        _unwrap({"endpoint": url, "token": "s.secret"})

    assert seen == []


def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    with _scripted(200, "{}", delay=5.0) as (url, _):
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="did not answer in time"):
            _unwrap({"endpoint": url, "token": "s.secret", "read_timeout": 0.2})

        assert time.monotonic() - started < 3


def test_a_login_counts_against_the_deadline(tmp_path: Path) -> None:
    with _scripted(200, "{}", delay=5.0) as (url, _):
        settings = {"endpoint": url, "credential": "approle", "role_id": "r", "deadline": 0.3}
        with pytest.raises(UnavailableError, match="did not answer in time"):
            _unwrap(settings)


def test_no_proxy_is_used_for_this_machine(
    bao: OpenBao, root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert opened(f"transit/{bao.new_key()}", root).wrap(new_dek(), aad=AAD)


def test_a_server_elsewhere_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with _scripted(502, "") as (proxy, seen):
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("//", "//user:pass@"))
        with pytest.raises(UnavailableError):
            _unwrap({"endpoint": "https://vault.example.com:8200", "token": "s.secret"})

    assert [line.split()[:2] for line, _ in seen] == [["CONNECT", "vault.example.com:8200"]]
    assert seen[0][1]["Proxy-Authorization"].startswith("Basic ")
    assert "s.secret" not in str(seen)


def test_an_encrypted_proxy_is_refused_and_not_spoken_to_in_the_clear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "https://proxy.example.com")

    with pytest.raises(SettingsError, match="HTTPS_PROXY"):
        _unwrap({"endpoint": "https://vault.example.com:8200", "token": "s.secret"})


def _unwrap(settings: Settings) -> bytes:
    from ksm_storage.plugin import WrappedDek

    wrapped = WrappedDek("transit/app", "TRANSIT_AEAD", CIPHERTEXT.encode())
    return opened("transit/app", settings).unwrap(wrapped, aad=AAD)


@contextmanager
def _scripted(
    status: int, body: str, *, location: str | None = None, delay: float = 0.0
) -> Iterator[tuple[str, list[tuple[str, Mapping[str, str]]]]]:
    seen: list[tuple[str, Mapping[str, str]]] = []
    ended = threading.Event()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.requestline, dict(self.headers)))
            ended.wait(delay)
            self.send_response(status)
            if location is not None:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_CONNECT = do_POST  # noqa: N815  # the name is the method of HTTP

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        ended.set()
        server.shutdown()


@contextmanager
def _tls_server(folder: Path) -> Iterator[tuple[str, str]]:
    port = free_port()
    arguments = [
        *(binary(), "server", "-dev-tls", "-dev-no-store-token", "-dev-root-token-id=root"),
        *(f"-dev-tls-cert-dir={folder}", f"-dev-listen-address=127.0.0.1:{port}"),
    ]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"HOME": str(folder), "SKIP_SETCAP": "1"},
        )
    try:
        url, ca_file = f"https://127.0.0.1:{port}", folder / "vault-ca.pem"
        ends_at = time.monotonic() + 20
        while "Root Token: " not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends_at, log.read_text()
            time.sleep(0.05)
        for path, body in (("sys/mounts/transit", {"type": "transit"}), ("transit/keys/app", {})):
            _post(f"{url}/v1/{path}", body, str(ca_file))
        yield url, str(ca_file)
    finally:
        process.kill()
        process.wait()


def _post(url: str, body: Mapping[str, object], ca_file: str) -> None:
    import ssl
    from urllib.request import Request, urlopen

    request = Request(url, json.dumps(body).encode(), {"X-Vault-Token": "root"})
    with urlopen(request, context=ssl.create_default_context(cafile=ca_file)):
        pass

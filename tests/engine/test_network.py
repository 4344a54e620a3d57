"""The rule for proxies and authorities, for blocking calls, an event loop and the relay."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_emulators.certificates import PrivateAuthority

from ksm_storage.engine import ServerUnreachableError
from ksm_storage.engine.async_transport import AsyncHttpsTransport
from ksm_storage.engine.transport import HttpsTransport, run
from ksm_storage.errors import SettingsError
from ksm_storage.network import CA_VARIABLES
from ksm_storage.relay.upstream import Upstream
from ksm_storage.testing.loopback import ConnectProxy, Relay
from ksm_storage.testing.network_tests import INVALID_PROXIES, rehashed_folder

Get = Callable[[str], int]


def blocking(url: str) -> int:
    return run(HttpsTransport().get(url, limit=1 << 20)).status


def in_a_loop(url: str) -> int:
    return asyncio.run(AsyncHttpsTransport().get(url, limit=1 << 20)).status


@pytest.fixture(params=[blocking, in_a_loop], ids=["blocking", "aio"])
def get(request: pytest.FixtureRequest) -> Get:
    made: Get = request.param
    return made


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variable", "exceptions", "is_asked"),
    [
        ("HTTPS_PROXY", "", True),
        ("https_proxy", "", True),
        ("ALL_PROXY", "", True),
        ("all_proxy", "10.0.0.0/8", True),
        ("HTTPS_PROXY", "localhost", False),
        ("HTTPS_PROXY", "localhost:1", True),
        ("HTTPS_PROXY", "*", False),
    ],
)
def test_the_proxy_of_the_environment_is_used_and_its_exceptions(
    server: Any,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    get: Get,
    variable: str,
    exceptions: str,
    is_asked: bool,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    monkeypatch.setenv("NO_PROXY", exceptions)

    with ConnectProxy() as proxy:
        monkeypatch.setenv(variable, proxy.url.replace("//", "//user:p%40ss@"))
        assert get(server.file_url("x"))

    assert isinstance(proxy, ConnectProxy)
    assert [with_password for _, with_password in proxy.asked] == [True] * is_asked


@pytest.mark.parametrize("value", INVALID_PROXIES)
def test_an_invalid_proxy_is_a_settings_error_that_names_the_variable(
    server: Any, monkeypatch: pytest.MonkeyPatch, get: Get, value: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)

    with pytest.raises(SettingsError, match="ALL_PROXY is not a valid proxy address") as caught:
        get(server.file_url("x"))

    assert "hunter2" not in f"{caught.value.as_dict()}{caught.value.__cause__}"


@pytest.fixture
def other_authority(tmp_path: Path, ca_file: Path) -> tuple[ssl.SSLContext, Path]:
    """Make another authority, and a file with it and that of the server."""
    authority = PrivateAuthority()
    both = tmp_path / "both.pem"
    both.write_bytes(ca_file.read_bytes() + authority.certificate_pem)
    return authority.server_context([]), both


def test_a_proxy_over_tls_is_used_by_the_event_loop_and_named_by_blocking_calls(
    server: Any, other_authority: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, both = other_authority
    monkeypatch.setenv("SSL_CERT_FILE", str(both))

    with ConnectProxy(tls=context) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:hunter2@"))
        assert in_a_loop(server.file_url("x"))
        with pytest.raises(SettingsError, match="HTTPS_PROXY names an https:// proxy") as caught:
            blocking(server.file_url("x"))

    assert isinstance(proxy, ConnectProxy)
    assert [with_password for _, with_password in proxy.asked] == [True]
    assert "hunter2" not in str(caught.value.as_dict())


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_the_authorities_of_the_environment_are_trusted(
    server: Any,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    get: Get,
    variable: str,
) -> None:
    is_folder = variable == "SSL_CERT_DIR"
    monkeypatch.setenv(variable, rehashed_folder(tmp_path, ca_file) if is_folder else str(ca_file))

    assert get(server.file_url("x"))


def test_a_server_without_ipv4_is_reached(
    server: Any, monkeypatch: pytest.MonkeyPatch, get: Get, tmp_path: Path
) -> None:
    authority = PrivateAuthority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    # The certificate of the server is for its name alone.
    with (
        ConnectProxy(server.file_url("x"), inspecting=authority.server_context([])) as proxy,
        Relay(proxy.url, host="::1") as front,
    ):
        monkeypatch.setenv("HTTPS_PROXY", front.url)
        assert get("https://[::1]:8443/x")

    assert isinstance(proxy, ConnectProxy)
    # Python before 3.11.9 leaves the brackets out.
    assert [place.strip("[").replace("]", "") for place, _ in proxy.asked] == ["::1:8443"]


def test_a_proxy_that_inspects_tls_is_named_until_its_authority_is_trusted(
    server: Any,
    ca_file: Path,
    other_authority: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
    get: Get,
) -> None:
    context, both = other_authority

    with ConnectProxy(inspecting=context) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:hunter2@"))
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
        with pytest.raises(ServerUnreachableError, match="is not trusted") as caught:
            get(server.file_url("x"))
        monkeypatch.setenv("SSL_CERT_FILE", str(both))
        assert get(server.file_url("x"))

    assert proxy.url.partition("//")[2] in (caught.value.hint or "")
    assert "$SSL_CERT_FILE" in (caught.value.hint or "")
    assert "hunter2" not in str(caught.value.as_dict())


def test_the_relay_asks_keeper_through_the_proxy(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = connect()
    manager.bind()

    with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        Upstream(manager, cache_seconds=0).read()

    assert isinstance(proxy, ConnectProxy)
    assert proxy.asked

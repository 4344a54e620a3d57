"""The rule for proxies and authorities, for blocking calls, an event loop and the relay."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ksm_storage_emulators.certificates import PrivateAuthority

from ksm_storage.engine import (
    InMemoryKeyValueStorage,
    SecretsManager,
    ServerAnswerError,
    ServerUnreachableError,
)
from ksm_storage.engine.aio import SecretsManager as AsyncSecretsManager
from ksm_storage.engine.async_transport import AsyncHttpsTransport
from ksm_storage.engine.transport import HttpsTransport, run
from ksm_storage.errors import KsmStorageError, SettingsError
from ksm_storage.network import CA_VARIABLES, PROXY_VARIABLES
from ksm_storage.relay.upstream import Upstream
from ksm_storage.serving.requests import RequestRejected
from ksm_storage.testing.loopback import Relay
from ksm_storage.testing.network_tests import (
    DAMAGES,
    INVALID_PROXIES,
    damaged_authorities,
    rehashed_folder,
)
from tests.engine.loopback_server import LoopbackServer, running

if TYPE_CHECKING:
    from ksm_storage.testing.proxies import Proxies

pytest_plugins = ["ksm_storage.testing.proxies"]

Get = Callable[..., int]


def blocking(url: str, **options: Any) -> int:
    return run(HttpsTransport(**options).get(url, limit=1 << 20)).status


def in_a_loop(url: str, **options: Any) -> int:
    return asyncio.run(AsyncHttpsTransport(**options).get(url, limit=1 << 20)).status


@pytest.fixture(params=[blocking, in_a_loop], ids=["blocking", "aio"])
def get(request: pytest.FixtureRequest) -> Get:
    made: Get = request.param
    return made


def by_the_relay(url: str) -> int:
    manager = SecretsManager(f"localhost:{'A' * 43}", config=InMemoryKeyValueStorage())
    with pytest.raises(RequestRejected) as caught:
        Upstream(manager, cache_seconds=0).download(url, 1 << 20)
    # The server was reached: it has no such file.
    assert isinstance(caught.value.__cause__, ServerAnswerError)
    return 404


@pytest.fixture(params=[blocking, in_a_loop, by_the_relay], ids=["blocking", "aio", "relay"])
def get_by_all(request: pytest.FixtureRequest) -> Get:
    """Ask as each of those does that may ask Keeper."""
    made: Get = request.param
    return made


@pytest.fixture(autouse=True)
def _own_variables(monkeypatch: pytest.MonkeyPatch, ca_file: Path) -> None:
    for name in ("HTTP_PROXY", "NO_PROXY", "no_proxy", *PROXY_VARIABLES, *CA_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))


@pytest.fixture
def both_authorities(tmp_path: Path, ca_file: Path, proxies: Proxies) -> str:
    """Return a file with the authority of the server and that of the proxies."""
    both = tmp_path / "both.pem"
    both.write_bytes(ca_file.read_bytes() + proxies.ca_pem)
    return str(both)


@pytest.mark.parametrize("variable", PROXY_VARIABLES)
def test_the_proxy_of_the_environment_is_used_with_its_credentials(
    server: Any, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, get_by_all: Get, variable: str
) -> None:
    monkeypatch.setenv(variable, proxies.http.url)

    assert get_by_all(server.file_url("x"))

    assert proxies.http.asked == [server.host]


@pytest.mark.parametrize(
    ("exceptions", "is_asked"),
    [
        ("localhost", False),
        ("LOCALHOST:{port}, ", False),
        (".example.com,,.localhost", False),
        ("*.localhost", False),
        ("*", False),
        ("localhost:1,127.0.0.1,10.0.0.0/8", True),
    ],
)
def test_the_exceptions_from_the_proxy_are_reached_without(
    server: Any,
    proxies: Proxies,
    monkeypatch: pytest.MonkeyPatch,
    get_by_all: Get,
    exceptions: str,
    is_asked: bool,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxies.http.url)
    monkeypatch.setenv("NO_PROXY", exceptions.format(port=server.port))

    assert get_by_all(server.file_url("x"))

    assert proxies.http.asked == [server.host] * is_asked


def test_the_given_proxy_goes_before_the_environments(
    server: Any, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, get: Get
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")

    assert get(server.file_url("x"), proxy_url=proxies.over_ipv6.url)

    assert proxies.over_ipv6.asked == [server.host]


@pytest.mark.parametrize("value", INVALID_PROXIES)
def test_an_invalid_proxy_is_a_settings_error_that_names_the_variable(
    server: Any, monkeypatch: pytest.MonkeyPatch, get: Get, value: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)

    with pytest.raises(SettingsError, match="environment variable ALL_PROXY ") as caught:
        get(server.file_url("x"))

    assert "hunter2" not in f"{caught.value.as_dict()}{caught.value.__cause__}"


def test_a_proxy_over_tls_is_used_by_the_event_loop_and_named_by_blocking_calls(
    server: Any, proxies: Proxies, both_authorities: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", both_authorities)
    monkeypatch.setenv("HTTPS_PROXY", proxies.https.url)

    assert in_a_loop(server.file_url("x"))
    with pytest.raises(SettingsError, match="HTTPS_PROXY names an https:// proxy"):
        blocking(server.file_url("x"))

    assert proxies.https.asked == [server.host]


@pytest.mark.parametrize("credentials", ["user:hunter2", ""])
def test_a_proxy_that_rejects_the_credentials_is_named(
    server: Any, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, get: Get, credentials: str
) -> None:
    monkeypatch.setenv("all_proxy", proxies.http.with_credentials(credentials))

    error = error_of(get, server)

    place = proxies.http.place
    assert error.message == (
        f"the proxy '{place}' of the environment variable all_proxy requires a valid user and "
        "password"
    )
    assert "all_proxy as http://USER:PASSWORD@HOST:PORT" in (error.hint or "")
    assert "hunter2" not in str(error.as_dict())


@pytest.mark.parametrize(
    ("address", "message", "hint"),
    [(None, "refused to connect", "NO_PROXY"), (1, "could not connect", "the proxy can reach it")],
    ids=["403", "502"],
)
def test_a_proxy_that_does_not_connect_is_named(
    server: Any,
    proxies: Proxies,
    monkeypatch: pytest.MonkeyPatch,
    get: Get,
    address: int | None,
    message: str,
    hint: str,
) -> None:
    monkeypatch.setenv("https_proxy", proxies.http.url)
    if address is None:
        proxies.http.refuse("localhost")
    else:
        proxies.http.send("localhost", ("127.0.0.1", address))

    error = error_of(get, server)

    shown = f"the proxy '{proxies.http.place}' of the environment variable https_proxy {message}"
    assert error.message.startswith(shown)
    assert hint in (error.hint or "")


def test_a_proxy_of_another_scheme_is_named(
    server: Any, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, get: Get
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxies.https.url.replace("https:", "http:"))

    error = error_of(get, server)

    assert f"the proxy '{proxies.https.place}' of the environment variable HTTPS_PROXY" in str(
        error
    )
    assert "its scheme: http:// or https://" in (error.hint or "")


@pytest.mark.parametrize("variable", CA_VARIABLES)
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_authorities_of_the_environment_are_trusted(
    server: Any,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    get_by_all: Get,
    variable: str,
    kind: str,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    is_folder = kind == "folder"
    monkeypatch.setenv(variable, rehashed_folder(tmp_path, ca_file) if is_folder else str(ca_file))

    assert get_by_all(server.file_url("x"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_variable_without_authorities_is_named(
    server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, get: Get, damage: str
) -> None:
    path = damaged_authorities(tmp_path, damage)
    monkeypatch.setenv("SSL_CERT_FILE", path)

    with pytest.raises(SettingsError) as caught:
        get(server.file_url("x"))

    assert f"{path!r} of the environment variable SSL_CERT_FILE " in caught.value.message
    assert caught.value.hint


@pytest.fixture
def over_ipv6(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackServer]:
    """Run a server at ``::1`` alone, with a trusted certificate for that address."""
    authority = PrivateAuthority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    for name, pem in zip(("key", "certificate"), authority.server_pem([]), strict=True):
        (tmp_path / name).write_bytes(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    server = LoopbackServer()
    with running(server, tmp_path / "certificate", tmp_path / "key", host="::1"):
        yield server


@pytest.mark.parametrize("client", [SecretsManager, AsyncSecretsManager])
@pytest.mark.parametrize("through_proxy", [False, True], ids=["directly", "through a proxy"])
def test_a_server_without_ipv4_is_reached(
    over_ipv6: LoopbackServer,
    proxies: Proxies,
    monkeypatch: pytest.MonkeyPatch,
    client: Any,
    through_proxy: bool,
) -> None:
    assert over_ipv6.host.startswith("[::1]:")
    monkeypatch.setenv("HTTPS_PROXY", proxies.over_ipv6.url)
    monkeypatch.setenv("NO_PROXY", "" if through_proxy else "[::1]")

    manager = client(
        over_ipv6.token_text,
        config=InMemoryKeyValueStorage(),
        server_public_key=over_ipv6.server_public_key,
        server_public_key_id=over_ipv6.public_key_id,
    )
    found = manager.get_secrets()
    if client is AsyncSecretsManager:
        found = asyncio.run(found)

    assert found == []
    assert bool(proxies.over_ipv6.asked) is through_proxy


def test_a_name_without_ipv4_is_reached(
    server: Any, monkeypatch: pytest.MonkeyPatch, get_by_all: Get
) -> None:
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **named: resolve(
            "::1" if host in ("localhost", b"localhost") else host, *rest, **named
        ),
    )

    with Relay(f"https://127.0.0.1:{server.port}", host="::1") as relay:
        assert get_by_all(relay.url.replace("[::1]", "localhost") + "/files/x")

    assert relay.connections


def test_a_proxy_that_inspects_tls_is_named_until_its_authority_is_trusted(
    server: Any,
    proxies: Proxies,
    both_authorities: str,
    monkeypatch: pytest.MonkeyPatch,
    get: Get,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxies.inspecting.url)

    error = error_of(get, server)
    monkeypatch.setenv("SSL_CERT_FILE", both_authorities)

    assert get(server.file_url("x"))
    assert by_the_relay(server.file_url("x"))
    assert "is not trusted" in error.message
    assert f"'{proxies.inspecting.place}' of the environment variable HTTPS_PROXY" in str(
        error.hint
    )
    assert "SSL_CERT_FILE" in (error.hint or "")


def test_the_relay_asks_keeper_through_the_proxy(
    connect: Any, proxies: Proxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = connect()
    manager.bind()

    monkeypatch.setenv("HTTPS_PROXY", proxies.http.url)
    Upstream(manager, cache_seconds=0).read()

    assert proxies.http.asked


def error_of(get: Get, server: Any) -> KsmStorageError:
    with pytest.raises(ServerUnreachableError) as caught:
        get(server.file_url("x"))
    return caught.value

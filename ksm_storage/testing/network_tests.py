"""Conformance to docs/network.md: each row of its table at a proxy and a service on loopback."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from ..errors import ProviderError, SettingsError
from ..network import CA_VARIABLES
from .loopback import ConnectProxy, Relay, SilentServer

Server = TypeVar("Server", bound=SilentServer)

PROXY_CASES = (
    ("HTTPS_PROXY", "", True),
    ("https_proxy", "", True),
    ("ALL_PROXY", "", True),
    ("all_proxy", "10.0.0.0/8", True),
    ("HTTPS_PROXY", "127.0.0.0/8", False),
    ("HTTPS_PROXY", "127.0.0.1:1", True),
    ("HTTPS_PROXY", "*", False),
)
INVALID_PROXIES = (
    "http://",
    "http://user:hunter2@",
    "http://user:hunter2@127.0.0.1:port",
    "http://user:hunter2@127.0.0.1:0",
    "http://user:hunter2@127.0.0.1:99999",
    "http://user:hunter2@127.0.0 .1:3128",
    "http://user:hunter2/@127.0.0.1:3128",
    "user:hunter2@127.0.0.1:3128/#",
    "socks5://user:hunter2@127.0.0.1:1080",
)
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class TlsService(NamedTuple):
    """Name a running service: its ``https://127.0.0.1:PORT`` and the file of its authority."""

    url: str
    ca_file: str


class OtherAuthority(NamedTuple):
    """Hold an authority of no service: for 127.0.0.1 and ``names``, and its certificate."""

    context: ssl.SSLContext
    certificate_pem: bytes


class NetworkTests(ABC):
    """Inherit it, and say how a call reaches the service.

    Attributes:
        takes_https_proxy: Whether the plugin can speak to a proxy over TLS.
        ipv6_host: How a URL names this machine where only IPv6 answers: for a client that refuses
            addresses, ``localhost``.
    """

    takes_https_proxy = True
    ipv6_host = "[::1]"

    @pytest.fixture
    def both_authorities(
        self, service: TlsService, other_authority: OtherAuthority, tmp_path: Path
    ) -> str:
        """Return a file with the authority of the service and that of the proxy."""
        both = tmp_path / "both.pem"
        both.write_bytes(Path(service.ca_file).read_bytes() + other_authority.certificate_pem)
        return str(both)

    @pytest.fixture
    def service(self) -> TlsService:
        """Return the running service."""
        raise NotImplementedError

    @pytest.fixture(params=[True, False], ids=["direct", "client"])
    def direct(self, request: pytest.FixtureRequest) -> bool:
        """Tell whether the plugin may send its first call without the vendor's client."""
        return bool(request.param)

    @pytest.fixture
    def other_authority(self) -> OtherAuthority:
        """Return a fresh authority."""
        raise NotImplementedError

    @abstractmethod
    def call(self, url: str, *, direct: bool) -> None:
        """Open a key at the service with no ``ca_file``, and call it; raise what the KEK raises.

        A service that refuses the caller has been reached, and that is enough.
        """

    @pytest.fixture(autouse=True)
    def _without_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (*_PROXY_VARIABLES, *(each.lower() for each in _PROXY_VARIABLES)):
            monkeypatch.delenv(name, raising=False)
        for name in CA_VARIABLES:
            monkeypatch.delenv(name, raising=False)

    @pytest.mark.parametrize(("variable", "exceptions", "is_asked"), PROXY_CASES)
    def test_the_proxy_of_the_environment_is_used_and_its_exceptions(
        self,
        service: TlsService,
        monkeypatch: pytest.MonkeyPatch,
        direct: bool,
        variable: str,
        exceptions: str,
        is_asked: bool,
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", service.ca_file)
        monkeypatch.setenv("NO_PROXY", exceptions)

        with _running(ConnectProxy()) as proxy:
            monkeypatch.setenv(variable, proxy.url.replace("//", "//user:p%40ss@"))
            self.call(service.url, direct=direct)

        place = service.url.partition("//")[2]
        assert set(proxy.asked) == ({(place, True)} if is_asked else set())

    def test_a_proxy_over_tls_is_used_or_named_as_not_supported(
        self,
        service: TlsService,
        other_authority: OtherAuthority,
        both_authorities: str,
        monkeypatch: pytest.MonkeyPatch,
        direct: bool,
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", both_authorities)

        with _running(ConnectProxy(tls=other_authority.context)) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:hunter2@"))
            if self.takes_https_proxy:
                self.call(service.url, direct=direct)
                assert {is_authorised for _, is_authorised in proxy.asked} == {True}
                return
            with pytest.raises(
                SettingsError, match="HTTPS_PROXY names an https:// proxy"
            ) as caught:
                self.call(service.url, direct=direct)

        assert proxy.asked == []
        assert "HTTPS_PROXY" in str(caught.value)
        assert "hunter2" not in str(caught.value.as_dict())

    @pytest.mark.parametrize("value", INVALID_PROXIES)
    def test_an_invalid_proxy_is_a_settings_error_that_names_the_variable(
        self, service: TlsService, monkeypatch: pytest.MonkeyPatch, direct: bool, value: str
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", service.ca_file)
        monkeypatch.setenv("HTTPS_PROXY", value)

        with pytest.raises(
            SettingsError, match="HTTPS_PROXY is not a valid proxy address"
        ) as caught:
            self.call(service.url, direct=direct)

        assert "hunter2" not in f"{caught.value.as_dict()}{caught.value.__cause__}"

    @pytest.mark.parametrize("variable", CA_VARIABLES)
    def test_the_authorities_of_the_environment_are_trusted(
        self,
        service: TlsService,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        direct: bool,
        variable: str,
    ) -> None:
        path = service.ca_file
        if variable == "SSL_CERT_DIR":
            path = rehashed_folder(tmp_path, Path(path))
        monkeypatch.setenv(variable, path)

        self.call(service.url, direct=direct)

    def test_a_service_without_ipv4_is_reached(
        self, service: TlsService, monkeypatch: pytest.MonkeyPatch, direct: bool
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", service.ca_file)

        known = {each[4][0] for each in socket.getaddrinfo(self.ipv6_host.strip("[]"), 443)}
        if "::1" not in known:
            pytest.skip(f"{self.ipv6_host} has no IPv6 address here")

        with _running(Relay(service.url, host="::1")) as relay:
            self.call(relay.url.replace("[::1]", self.ipv6_host), direct=direct)

        assert relay.connections

    def test_a_proxy_that_inspects_tls_needs_its_authority(
        self,
        service: TlsService,
        other_authority: OtherAuthority,
        both_authorities: str,
        monkeypatch: pytest.MonkeyPatch,
        direct: bool,
    ) -> None:
        with _running(ConnectProxy(inspecting=other_authority.context)) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            monkeypatch.setenv("SSL_CERT_FILE", service.ca_file)
            with pytest.raises(ProviderError) as caught:
                self.call(service.url, direct=direct)
            monkeypatch.setenv("SSL_CERT_FILE", both_authorities)
            self.call(service.url, direct=direct)

        assert "proxy" in (caught.value.hint or "")
        assert "ca_file" in (caught.value.hint or "")


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    with server:
        yield server


def rehashed_folder(folder: Path, ca_file: Path) -> str:
    """Return a folder with the certificate under its hash, as ``openssl rehash`` makes it."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    made = folder / "authorities"
    made.mkdir()
    shutil.copy(ca_file, made / "ca.pem")
    command = [program, "rehash", str(made)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # our own folder
    return str(made)

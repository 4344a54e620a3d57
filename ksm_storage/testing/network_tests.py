"""Conformance to docs/network.md: each cell of its table at a proxy process and a service here."""

from __future__ import annotations

import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ..errors import KsmStorageError, ProviderError, SettingsError
from ..network import CA_VARIABLES, PROXY_VARIABLES
from .loopback import ConnectProxy, Relay

if TYPE_CHECKING:
    from .proxies import Proxies

# With ``{port}`` for that of the service, and whether the proxy is asked all the same.
NO_PROXY_CASES = (
    ("127.0.0.1", "127.0.0.1", False),
    ("127.0.0.1", " .example.com,, 127.0.0.1:{port} ,", False),
    ("127.0.0.1", "127.0.0.0/8", False),
    ("127.0.0.1", "*", False),
    ("127.0.0.1", "127.0.0.1:1, 10.0.0.0/8,::/0,example.com", True),
    ("localhost", "LOCALHOST", False),
    ("localhost", "*.localhost , 10.0.0.0/8", False),
    ("localhost", ".localhost:{port}", False),
    ("localhost", "127.0.0.1,ocalhost", True),
)
NO_PROXY_IPV6_CASES = (
    ("", True),
    ("[::1]:{port}", False),
    ("::1/128", False),
    ("[::1],fe80::/10", False),
    ("[::1]:1,::2,127.0.0.1", True),
)
INVALID_PROXIES = (
    "http://",
    "http://user:hunter2@",
    "http://user:hunter2@127.0.0.1:port",
    "http://user:hunter2@127.0.0.1:0",
    "http://user:hunter2@127.0.0.1:99999",
    "http://user:hunter2@127.0.0 .1:3128",
    "http://user:hunter2@127.0.0.1:3128 ",
    "http://user:hunter2/@127.0.0.1:3128",
    "http:/user:hunter2@127.0.0.1:3128",
    "htp://user:hunter2@127.0.0.1:3128",
    "user:hunter2@127.0.0.1:3128/#",
    "socks5://user:hunter2@127.0.0.1:1080",
    "socks5h://user:hunter2@127.0.0.1:1080",
)
# In the order of the variables; the last names a folder.
DAMAGES = ("missing", "empty", "no certificate", "an empty folder")
_NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n"


class TlsService(NamedTuple):
    """Name a running service: its ``https://127.0.0.1:PORT`` and the file of its authority."""

    url: str
    ca_file: str

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.url.rpartition(":")[2])


class NetworkTests(ABC):
    """Inherit it, and say how a call reaches the service.

    The module says ``pytest_plugins = ["ksm_storage.testing.proxies"]``.

    Attributes:
        takes_https_proxy: Whether the plugin can speak to a proxy over TLS.
        needs_http2: Whether its client speaks nothing else, as gRPC.
        ipv6_host: How a URL names this machine where only IPv6 answers: for a client that refuses
            addresses, ``localhost``.
    """

    takes_https_proxy = True
    needs_http2 = False
    ipv6_host = "[::1]"

    @pytest.fixture
    def service(self) -> TlsService:
        """Return the running service."""
        raise NotImplementedError

    @pytest.fixture(params=[True, False], ids=["direct", "client"])
    def direct(self, request: pytest.FixtureRequest) -> bool:
        """Tell whether the plugin may send its first call without the vendor's client."""
        return bool(request.param)

    @abstractmethod
    def call(self, url: str, *, direct: bool) -> None:
        """Open a key at the service with no ``ca_file``, and call it; raise what the KEK raises.

        A service that refuses the caller has been reached, and that is enough.
        """

    @pytest.fixture
    def both_authorities(self, service: TlsService, proxies: Proxies, tmp_path: Path) -> str:
        """Return a file with the authority of the service and that of the proxies."""
        both = tmp_path / "both.pem"
        both.write_bytes(Path(service.ca_file).read_bytes() + proxies.ca_pem)
        return str(both)

    @pytest.fixture(autouse=True)
    def _own_variables(self, service: TlsService, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "no_proxy", *PROXY_VARIABLES, *CA_VARIABLES):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("SSL_CERT_FILE", service.ca_file)

    @pytest.mark.parametrize("variable", PROXY_VARIABLES)
    def test_the_proxy_of_the_environment_is_used_with_its_credentials(
        self,
        service: TlsService,
        proxies: Proxies,
        monkeypatch: pytest.MonkeyPatch,
        direct: bool,
        variable: str,
    ) -> None:
        monkeypatch.setenv(variable, proxies.http.url)

        self.call(service.url, direct=direct)

        assert set(proxies.http.asked) == {f"127.0.0.1:{service.port}"}

    @pytest.mark.parametrize(("host", "exceptions", "is_asked"), NO_PROXY_CASES)
    def test_the_exceptions_from_the_proxy_are_reached_without(
        self,
        service: TlsService,
        proxies: Proxies,
        monkeypatch: pytest.MonkeyPatch,
        direct: bool,
        host: str,
        exceptions: str,
        is_asked: bool,
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", proxies.http.url)
        monkeypatch.setenv("NO_PROXY", exceptions.format(port=service.port))

        self.call(service.url.replace("127.0.0.1", host), direct=direct)

        assert set(proxies.http.asked) == ({f"{host}:{service.port}"} if is_asked else set())

    def test_a_proxy_over_tls_is_used_or_named_as_not_supported(
        self,
        service: TlsService,
        proxies: Proxies,
        both_authorities: str,
        monkeypatch: pytest.MonkeyPatch,
        direct: bool,
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", both_authorities)
        monkeypatch.setenv("HTTPS_PROXY", proxies.https.url)

        if self.takes_https_proxy:
            self.call(service.url, direct=direct)
        else:
            with pytest.raises(SettingsError, match="HTTPS_PROXY names an https:// proxy"):
                self.call(service.url, direct=direct)

        assert bool(proxies.https.asked) is self.takes_https_proxy

    def test_a_proxy_over_ipv6_is_used(
        self, service: TlsService, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, direct: bool
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", proxies.over_ipv6.url)

        self.call(service.url, direct=direct)

        assert proxies.over_ipv6.asked

    @pytest.mark.parametrize("credentials", ["user:hunter2", ""])
    def test_a_proxy_that_rejects_the_credentials_is_named(
        self,
        service: TlsService,
        proxies: Proxies,
        monkeypatch: pytest.MonkeyPatch,
        direct: bool,
        credentials: str,
    ) -> None:
        monkeypatch.setenv("all_proxy", proxies.http.with_credentials(credentials))

        error = self._error(service, direct=direct)

        shown = f"the proxy '{proxies.http.place}' (all_proxy) requires a valid user and password"
        assert error.message.startswith(shown)
        assert "http://USER:PASSWORD@HOST:PORT" in (error.hint or "")
        assert "hunter2" not in str(error.as_dict())
        assert proxies.http.asked == []

    def test_a_proxy_that_forbids_the_service_is_named(
        self, service: TlsService, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, direct: bool
    ) -> None:
        monkeypatch.setenv("https_proxy", proxies.http.url)
        proxies.http.refuse("127.0.0.1")

        error = self._error(service, direct=direct)

        shown = f"the proxy '{proxies.http.place}' (https_proxy) refused to connect to"
        assert error.message.startswith(shown)
        assert "NO_PROXY" in (error.hint or "")
        # The vendor's client is asked again after a direct call, and then nobody.
        assert len(proxies.http.asked) <= 2

    @pytest.mark.parametrize("value", INVALID_PROXIES[::4])
    def test_an_invalid_proxy_is_a_settings_error_that_names_the_variable(
        self, service: TlsService, monkeypatch: pytest.MonkeyPatch, direct: bool, value: str
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", value)

        error = self._error(service, direct=direct)

        assert isinstance(error, SettingsError)
        assert "HTTPS_PROXY" in error.message
        assert "hunter2" not in f"{error.as_dict()}{error.__cause__}"

    @pytest.mark.parametrize(
        ("variable", "kind"),
        [(name, "folder") for name in CA_VARIABLES]
        + [(name, "file") for name in CA_VARIABLES if name != "SSL_CERT_DIR"],
    )
    def test_the_authorities_of_the_environment_are_trusted(
        self,
        service: TlsService,
        monkeypatch: pytest.MonkeyPatch,
        authorities_folder: str,
        direct: bool,
        variable: str,
        kind: str,
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        monkeypatch.setenv(variable, authorities_folder if kind == "folder" else service.ca_file)

        self.call(service.url, direct=direct)

    @pytest.fixture
    def authorities_folder(self, service: TlsService, tmp_path: Path) -> str:
        """Return a folder with the authority of the service under its hash."""
        return rehashed_folder(tmp_path, Path(service.ca_file))

    @pytest.mark.parametrize(("variable", "damage"), [*zip(CA_VARIABLES, DAMAGES, strict=True)])
    def test_a_variable_without_authorities_is_named(
        self,
        service: TlsService,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        direct: bool,
        variable: str,
        damage: str,
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        path = damaged_authorities(tmp_path, damage)
        monkeypatch.setenv(variable, path)

        error = self._error(service, direct=direct)

        assert isinstance(error, SettingsError)
        assert f"{path!r} of the environment variable {variable} " in error.message
        assert error.hint

    def test_a_service_without_ipv4_is_reached(
        self, service: TlsService, monkeypatch: pytest.MonkeyPatch, direct: bool
    ) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", _over_ipv6(socket.getaddrinfo))

        with Relay(service.url, host="::1") as relay:
            self.call(relay.url.replace("[::1]", self.ipv6_host), direct=direct)

        assert relay.connections

    def test_a_proxy_that_inspects_tls_needs_its_authority(
        self,
        service: TlsService,
        proxies: Proxies,
        both_authorities: str,
        monkeypatch: pytest.MonkeyPatch,
        direct: bool,
    ) -> None:
        # The proxy of others does not speak HTTP/2 where it inspects; ours passes on what it is.
        with ConnectProxy(inspecting=proxies.server_context) as ours:
            url = ours.url if self.needs_http2 else proxies.inspecting.url
            monkeypatch.setenv("HTTPS_PROXY", url)
            error = self._error(service, direct=direct)
            monkeypatch.setenv("SSL_CERT_FILE", both_authorities)
            self.call(service.url, direct=direct)

        assert isinstance(error, ProviderError)
        assert "is not trusted" in error.message
        assert f"'{url.rpartition('@')[2].removeprefix('http://')}' (HTTPS_PROXY)" in str(
            error.hint
        )
        assert "SSL_CERT_FILE" in str(error.hint)

    def _error(self, service: TlsService, *, direct: bool) -> KsmStorageError:
        with pytest.raises(KsmStorageError) as caught:
            self.call(service.url, direct=direct)
        return caught.value


class Ipv6AddressTests(NetworkTests):
    """The same for a client that accepts an IPv6 address in a URL."""

    @pytest.mark.parametrize(("exceptions", "is_asked"), NO_PROXY_IPV6_CASES)
    def test_an_ipv6_address_is_excepted_from_the_proxy(
        self,
        service: TlsService,
        proxies: Proxies,
        monkeypatch: pytest.MonkeyPatch,
        direct: bool,
        exceptions: str,
        is_asked: bool,
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", proxies.http.url)

        with Relay(service.url, host="::1") as relay:
            port = relay.url.rpartition(":")[2]
            monkeypatch.setenv("NO_PROXY", exceptions.format(port=port))
            self.call(relay.url, direct=direct)

        assert set(proxies.http.asked) == ({f"::1:{port}"} if is_asked else set())


def _over_ipv6(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """Return a resolver that knows ``localhost`` by its IPv6 address alone."""

    def resolved(host: Any, *arguments: Any, **named: Any) -> Any:
        return resolve("::1" if host in ("localhost", b"localhost") else host, *arguments, **named)

    return resolved


def damaged_authorities(folder: Path, damage: str) -> str:
    """Return the path of authorities with one of ``DAMAGES``."""
    path = folder / "authorities"
    if damage == "an empty folder":
        path.mkdir()
    elif damage != "missing":
        path.write_text({"empty": "", "no certificate": _NO_CERTIFICATE}[damage])
    return str(path)


def rehashed_folder(folder: Path, ca_file: Path) -> str:
    """Return a folder with the certificate under its hash, as ``openssl rehash`` makes it."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    made = folder / "hashed"
    made.mkdir()
    shutil.copy(ca_file, made / "ca.pem")
    command = [program, "rehash", str(made)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # our own folder
    return str(made)

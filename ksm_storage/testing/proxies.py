"""Other people's proxy, ``proxy.py``, in processes of its own: one for each kind and session.

A test module takes the fixture by ``pytest_plugins = ["ksm_storage.testing.proxies"]``.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pytest

from ..serving.certificates import LOCAL_NAMES, Authority

# It must be percent-encoded in a URL, and the proxy checks that it was decoded.
USER, PASSWORD = "user@corp", "p@ss:/#%"
ENCODED = "user%40corp:p%40ss%3A%2F%23%25"
_START_SECONDS = 30.0


class ProxyProcess:
    """Hold a running proxy; it lets in who has the user and the password.

    Attributes:
        place: Its ``host:port``.
        url: Its URL with the credentials, percent-encoded.
    """

    def __init__(
        self, folder: Path, *, scheme: str = "http", host: str = "127.0.0.1", options: Sequence[str]
    ) -> None:
        """Start it; ``options`` are those of its command line."""
        folder.mkdir()
        self._folder = folder
        self._routes: dict[str, tuple[str, int] | None] = {}
        self.forget()
        program = [sys.executable, "-m", "proxy", "--threaded", "--log-level", "c"]
        program += ["--num-acceptors", "1", "--num-workers", "1", "--timeout", "60"]
        program += ["--hostname", host, "--port", "0", "--port-file", str(folder / "port")]
        program += ["--data-dir", str(folder), "--basic-auth", f"{USER}:{PASSWORD}"]
        program += ["--plugins", "ksm_storage.testing.proxy_observer.Observer", *options]
        with open(folder / "log", "wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter
                program,
                env={**os.environ, "PROXY_OBSERVER_FOLDER": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # It has a child for its connections, and both end together.
                start_new_session=True,
            )
        self.place = f"[{host}]" if ":" in host else host
        self.place += f":{self._port()}"
        self.url = f"{scheme}://{ENCODED}@{self.place}"

    def with_credentials(self, credentials: str) -> str:
        """Return its URL with other credentials, or with none."""
        scheme = self.url.partition("//")[0]
        return f"{scheme}//{credentials}{'@' if credentials else ''}{self.place}"

    @property
    def asked(self) -> list[str]:
        """Return the ``host:port`` of each request that it let in; IPv6 without brackets."""
        return (self._folder / "asked").read_text(encoding="utf-8").splitlines()

    def forget(self) -> None:
        """Forget what was asked, and all routes."""
        (self._folder / "asked").write_text("", encoding="utf-8")
        self._routes.clear()
        self._write_routes()

    def send(self, host: str, address: tuple[str, int]) -> None:
        """Have the proxy reach a host name at this address."""
        self._routes[host] = address
        self._write_routes()

    def refuse(self, host: str) -> None:
        """Have the proxy answer 403 to whoever asks for this host."""
        self._routes[host] = None
        self._write_routes()

    def stop(self) -> None:
        """End it and its child."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _write_routes(self) -> None:
        (self._folder / "routes.json").write_text(json.dumps(self._routes), encoding="utf-8")

    def _port(self) -> int:
        file = self._folder / "port"
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            if file.exists() and (text := file.read_text(encoding="ascii").strip()):
                return int(text)
            time.sleep(0.01)
        raise RuntimeError(f"the proxy did not start: {(self._folder / 'log').read_text()[-2000:]}")


class Proxies:
    """Start each kind of proxy when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[ProxyProcess] = []

    @cached_property
    def http(self) -> ProxyProcess:
        """The usual one."""
        return self._start("http")

    @cached_property
    def over_ipv6(self) -> ProxyProcess:
        """One that listens at ``::1`` alone."""
        return self._start("over-ipv6", host="::1")

    @cached_property
    def https(self) -> ProxyProcess:
        """One that is spoken to over TLS."""
        leaf, key = str(self._authority / "leaf.pem"), str(self._authority / "key.pem")
        return self._start("https", "--cert-file", leaf, "--key-file", key, scheme="https")

    @cached_property
    def inspecting(self) -> ProxyProcess:
        """One that ends the TLS of callers and makes its own to the service."""
        ca, key = str(self._authority / "ca.pem"), str(self._authority / "key.pem")
        # The certificates are there already; it would make some that Python 3.13 refuses.
        made = ["--ca-cert-file", ca, "--ca-key-file", key, "--ca-signing-key-file", key]
        return self._start(
            "inspecting",
            *made,
            "--ca-cert-dir",
            str(self._authority),
            "--insecure-tls-interception",
        )

    @property
    def ca_pem(self) -> bytes:
        """The authority of the proxy that is spoken to over TLS and of the inspecting one."""
        return (self._authority / "ca.pem").read_bytes()

    @property
    def server_context(self) -> ssl.SSLContext:
        """A context with a certificate of this authority, for a server in the tests' process."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._authority / "leaf.pem", self._authority / "key.pem")
        return context

    def forget(self) -> None:
        """Have every running proxy forget what it was asked."""
        for each in self._started:
            each.forget()

    def stop(self) -> None:
        """End all that run."""
        for each in self._started:
            each.stop()

    def _start(
        self, kind: str, *options: str, scheme: str = "http", host: str = "127.0.0.1"
    ) -> ProxyProcess:
        made = ProxyProcess(self._folder / kind, scheme=scheme, host=host, options=options)
        self._started.append(made)
        return made

    @cached_property
    def _authority(self) -> Path:
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            load_pem_private_key,
        )

        folder = self._folder / "authority"
        folder.mkdir(mode=0o700)
        # A host name alone: gRPC's TLS library accepts no authority with limits for addresses.
        authority = Authority.new("the authority of a proxy", ["localhost"])
        pem = authority.issue("a proxy", LOCAL_NAMES, password=b"unused")
        key = load_pem_private_key(pem, password=b"unused")
        leaf = pem[pem.index(b"-----BEGIN CERTIFICATE-----") :]
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "key.pem").write_bytes(plain)
        (folder / "ca.pem").write_bytes(authority.certificate_pem)
        for name in ("leaf", *LOCAL_NAMES):
            (folder / f"{name}.pem").write_bytes(leaf)
        return folder


@pytest.fixture(scope="session")
def running_proxies(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxies]:
    """Run the proxies of the session."""
    pytest.importorskip("proxy", reason="proxy.py is not installed")
    if not hasattr(os, "killpg"):
        pytest.skip("proxy.py and its children end together on POSIX systems only")
    made = Proxies(tmp_path_factory.mktemp("proxies"))
    yield made
    made.stop()


@pytest.fixture
def proxies(running_proxies: Proxies) -> Proxies:
    """Return the proxies of the session, which know nothing of the tests before."""
    running_proxies.forget()
    return running_proxies

"""The proxy and the authorities of the environment, at a real proxy on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksm_storage.testing.loopback import ConnectProxy

from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek


@pytest.mark.parametrize(
    ("variable", "exceptions", "is_asked"),
    [
        ("HTTPS_PROXY", "", True),
        ("https_proxy", "", True),
        ("ALL_PROXY", "", True),
        ("HTTPS_PROXY", "127.0.0.0/8,localhost", False),
        ("https_proxy", "*", False),
    ],
)
def test_the_proxy_of_the_environment_is_used_and_its_exceptions(
    kms_tls: EmulatedKms,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    exceptions: str,
    is_asked: bool,
) -> None:
    with ConnectProxy() as proxy:
        assert isinstance(proxy, ConnectProxy)
        monkeypatch.setenv(variable, proxy.url.replace("//", "//user:word@"))
        monkeypatch.setenv("NO_PROXY", exceptions)
        with open_kek(kms_tls.create_key().name, kms_tls.settings) as kek:
            kek.wrap(DEK, aad=AAD)

    assert set(proxy.asked) == ({(kms_tls.url.partition("//")[2], True)} if is_asked else set())


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_authorities_of_the_environment_are_trusted(
    kms_tls: EmulatedKms, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    settings = {name: each for name, each in kms_tls.settings.items() if name != "ca_file"}
    monkeypatch.setenv(variable, str(kms_tls.ca_file))

    with open_kek(kms_tls.create_key().name, settings) as kek:
        kek.wrap(DEK, aad=AAD)


def test_a_folder_of_authorities_is_trusted(
    kms_tls: EmulatedKms, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "0a1b2c3d.0").write_bytes(Path(str(kms_tls.ca_file)).read_bytes())
    settings = {name: each for name, each in kms_tls.settings.items() if name != "ca_file"}
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    with open_kek(kms_tls.create_key().name, settings) as kek:
        kek.wrap(DEK, aad=AAD)

"""The one rule for proxies and authorities."""

from __future__ import annotations

import pytest

from ksm_storage.errors import SettingsError
from ksm_storage.network import ca_variable, is_excluded, parse_proxy, proxy_for


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
        ({"https_proxy": "http://a:1"}, "http://a:1"),
        ({"HTTPS_PROXY": "http://b:1", "https_proxy": "http://a:1"}, "http://a:1"),
        ({"ALL_PROXY": "http://a:1"}, "http://a:1"),
        ({"all_proxy": "http://b:1", "HTTPS_PROXY": "http://a:1"}, "http://a:1"),
        ({"HTTPS_PROXY": "a:1"}, "http://a:1"),
        ({"HTTP_PROXY": "http://a:1"}, None),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "example.com"}, None),
        ({"HTTPS_PROXY": "http://a:1", "no_proxy": "other.com"}, "http://a:1"),
        ({"HTTPS_PROXY": ""}, None),
    ],
)
def test_the_proxy_of_the_environment(environment: dict[str, str], expected: str | None) -> None:
    proxy = proxy_for("kms.example.com", 443, environment)

    assert (proxy and proxy.url) == expected


@pytest.mark.parametrize(
    ("entry", "host", "excluded"),
    [
        ("*", "kms.example.com", True),
        ("kms.example.com", "kms.example.com", True),
        ("KMS.Example.COM", "kms.example.com.", True),
        ("example.com", "kms.example.com", True),
        (".example.com", "kms.example.com", True),
        ("*.example.com", "kms.example.com", True),
        ("ample.com", "kms.example.com", False),
        ("a, example.com", "kms.example.com", True),
        ("a example.com", "kms.example.com", True),
        ("example.com:443", "kms.example.com", True),
        ("example.com:8443", "kms.example.com", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "kms.example.com", False),
        (" ,kms.example.com,, ", "kms.example.com", True),
        ("*.example.com.", "kms.example.com", True),
        ("[::1]", "::1", True),
        ("::1/128", "[::1]", True),
        ("[fd00::/8]:443", "fd00::5", True),
        ("fd00::/8", "fd00::5", True),
        ("fd00::5", "[fd00::5]", True),
        ("[fd00::5]:443", "fd00::5", True),
        ("[fd00::5]:8443", "fd00::5", False),
        ("fd00::/8", "fe80::1", False),
        ("[fd00::]/8", "fd00::5", True),
        ("[fd00::]/8:443", "fd00::5", True),
        ("[fd00::]/8:8443", "fd00::5", False),
        ("[fd00::5]x443", "fd00::5", False),
        ("example.com:", "kms.example.com", True),
        # Four numbers have no subdomains, as in curl.
        ("2.3", "10.1.2.3", False),
        (".1.2.3", "10.1.2.3", False),
        ("*.1.2.3", "10.1.2.3", False),
        ("::5", "fd00::5", False),
        ("0.0.0.0/33", "10.1.2.3", False),
        (".", "kms.example.com", False),
        ("", "kms.example.com", False),
    ],
)
def test_the_exceptions_from_the_proxy(entry: str, host: str, excluded: bool) -> None:
    assert is_excluded(host, 443, entry) is excluded


def test_the_first_variable_for_authorities_counts_and_a_services_own_goes_first() -> None:
    environment = {"SSL_CERT_DIR": "/c", "CURL_CA_BUNDLE": "/b", "AWS_CA_BUNDLE": "/a"}

    first, own = (
        ca_variable(*names, environment=environment) for names in ((), ("AWS_CA_BUNDLE",))
    )

    assert first == ("CURL_CA_BUNDLE", "/b")
    assert own == ("AWS_CA_BUNDLE", "/a")
    assert ca_variable(environment={}) is None


@pytest.mark.parametrize(
    ("address", "url", "header"),
    [
        ("proxy", "http://proxy:80", {}),
        ("https://proxy/", "https://proxy:443", {}),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128", {}),
        ("HTTP://Proxy:3128", "http://proxy:3128", {}),
        ("socks.example.com:1", "http://socks.example.com:1", {}),
        (
            "http://u%40d:p%2Fw@proxy:1",
            "http://u%40d:p%2Fw@proxy:1",
            {"Proxy-Authorization": "Basic dUBkOnAvdw=="},
        ),
    ],
)
def test_the_address_of_a_proxy_is_read(address: str, url: str, header: dict[str, str]) -> None:
    proxy = parse_proxy(address, named="it")

    assert (proxy.url, proxy.headers) == (url, header)
    assert "p%2Fw" not in f"{proxy} {proxy!r}"


@pytest.mark.parametrize(
    "address",
    [
        "http://proxy[::1]:3128",
        "http://[::1]proxy:3128",
        "http://[fe80::1%25eth0]:3128",
        "http://u:p\r\nX-Header: y@proxy:3128",
        "http://proxy:3128\r\n",
        "http://proxy:+1",
        "http://proxy%2e:1",
        "http://proxy..example:1",
        f"http://{'a' * 64}:1",
        "ftp://proxy:21",
    ],
)
def test_what_is_not_the_address_of_a_proxy_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=r"\Ait is not a valid proxy address\n"):
        parse_proxy(address, named="it")


def test_a_line_end_in_a_proxys_password_stays_within_the_credentials() -> None:
    proxy = parse_proxy("http://u:p%0D%0AX-Header:y@proxy:1", named="it")

    assert proxy.headers == {"Proxy-Authorization": "Basic dTpwDQpYLUhlYWRlcjp5"}


@pytest.mark.parametrize("scheme", ["socks", "socks4", "socks5", "SOCKS5h"])
def test_a_socks_proxy_is_named_as_not_supported(scheme: str) -> None:
    with pytest.raises(SettingsError, match="all_proxy names a SOCKS proxy") as caught:
        proxy_for("kms.example.com", 443, {"all_proxy": f"{scheme}://u:hunter2@p:1080"})

    assert "hunter2" not in str(caught.value.as_dict())


@pytest.mark.parametrize(
    "address", ["http://", "http://u:hunter2@p:x", "ftp://u:hunter2@p", "u:hunter2#@p:1", "p q"]
)
def test_an_invalid_address_is_named_and_not_repeated(address: str) -> None:
    with pytest.raises(SettingsError, match="HTTPS_PROXY is not a valid proxy") as caught:
        proxy_for("kms.example.com", 443, {"HTTPS_PROXY": address})

    assert "hunter2" not in str(caught.value.as_dict())
    assert caught.value.__cause__ is None

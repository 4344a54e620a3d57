"""The one rule for proxies and authorities."""

from __future__ import annotations

import pytest

from ksm_storage.network import ca_variable, is_excluded, proxy_url


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
    assert proxy_url("kms.example.com", 443, environment=environment) == expected


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
        ("fd00::/8", "fd00::5", True),
        ("fd00::5", "[fd00::5]", True),
        ("[fd00::5]:443", "fd00::5", True),
        ("[fd00::5]:8443", "fd00::5", False),
        ("fd00::/8", "fe80::1", False),
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

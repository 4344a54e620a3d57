"""A DEK crosses the network under TLS, or does not leave this machine."""

from __future__ import annotations

import pytest

from ksm_storage.errors import SettingsError
from ksm_storage.network import validate_endpoint


@pytest.mark.parametrize(
    "url",
    [
        "https://kms.example",
        "https://kms.example:8443/path",
        "http://127.0.0.1:4599",
        "http://127.9.9.9",
        "http://[::1]:8080",
        "http://localhost",
        "HTTPS://KMS.EXAMPLE",
        "https://kms_1.example.",
    ],
)
def test_an_address_under_tls_or_on_this_machine_is_accepted(url: str) -> None:
    validate_endpoint(url, named="the endpoint")


@pytest.mark.parametrize(
    "url",
    [
        "http://kms.example",
        "http://127.0.0.1.example",
        "http://localhost.example",
        "http://10.0.0.1",
        "http://[fd00::1]",
        "HTTP://kms.example",
        "http://127.0.0.1@kms.example",
    ],
)
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="the endpoint would send keys over the network") as e:
        validate_endpoint(url, named="the endpoint")

    assert e.value.hint


@pytest.mark.parametrize(
    "url",
    [
        *("", "kms.example", "ftp://127.0.0.1", "https://", "http:///path", "http://[::1"),
        *("file:///x", "https://kms.example:99999", "https://kms.example:port"),
        *("https://kms.example\n", " https://kms.example", "https://kms.example/\r\nX: y"),
        "https://kms\u2024example",
        # No name in DNS: the resolver's codec refuses them with errors of its own.
        *("https://kms..example", "https://.example", f"https://{'a' * 64}.example"),
        "https://kms%2eexample",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="is not an http or https URL with a host"):
        validate_endpoint(url, named="the endpoint")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@kms.example",
        "https://hunter2@kms.example",
        "https://kms.example?key=hunter2",
        "https://kms.example#hunter2",
        "http://user:hunter2@127.0.0.1:4599",
        "http://user:hunter2@kms.example",
        "https://user:hunter2@kms.example:port",
        "https://kms.example:hunter2",
        "ftp://user:hunter2@kms.example",
        "hunter2",
    ],
)
def test_what_may_hold_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        validate_endpoint(url, named="the endpoint")

    shown = "".join(map(str, (caught.value, caught.value.hint, caught.value.__context__)))
    assert "hunter2" not in shown

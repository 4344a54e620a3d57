"""Every form of a one-time token, and none that is nearly one."""

from __future__ import annotations

import pytest

from ksm_storage.engine.device import host_of
from ksm_storage.engine.one_time_token import parse_token
from ksm_storage.errors import SettingsError
from ksm_storage.wire.base64_forms import to_url_safe
from ksm_storage.wire.keys import new_private_key, public_point_of

SECRET = bytes(range(32))
TOKEN = to_url_safe(SECRET)
POINT = to_url_safe(public_point_of(new_private_key()))


@pytest.mark.parametrize(
    ("text", "hostname", "host"),
    [
        (f"US:{TOKEN}", None, "keepersecurity.com"),
        (f"eu:{TOKEN}", None, "keepersecurity.eu"),
        (f"AU:{TOKEN}", None, "keepersecurity.com.au"),
        (f"CA:{TOKEN}", None, "keepersecurity.ca"),
        (f"JP:{TOKEN}", None, "keepersecurity.jp"),
        (f"GOV:{TOKEN}", None, "govcloud.keepersecurity.us"),
        (f"US_GOV:{TOKEN}", None, "govcloud.keepersecurity.us"),
        (f"IL5:{TOKEN}", None, "il5.keepersecurity.us"),
        (f"ksm.company.com:{TOKEN}", None, "ksm.company.com"),
        (f"ksm.company.com:8443:{TOKEN}", None, "ksm.company.com:8443"),
        (f"[::1]:8443:{TOKEN}", None, "[::1]:8443"),
        (f"https://ksm.company.com:8443:{TOKEN}", None, "ksm.company.com:8443"),
        (TOKEN, "EU", "keepersecurity.eu"),
        (TOKEN, "ksm.company.com:8443", "ksm.company.com:8443"),
        (TOKEN, "https://ksm.company.com/", "ksm.company.com"),
        (f"  EU:{TOKEN}=\n", "US", "keepersecurity.eu"),
    ],
)
def test_a_token_names_its_server(text: str, hostname: str | None, host: str) -> None:
    token = parse_token(text, hostname=hostname)

    assert token.host == host
    assert token.secret == SECRET


def test_an_il5_token_brings_its_server_key() -> None:
    token = parse_token(f"IL5:{TOKEN}:25:{POINT}")

    assert token.secret == SECRET
    assert (token.server_public_key_id, token.server_public_key) == ("25", POINT)


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        "",
        "US:",
        f"US:{TOKEN[:-2]}",
        f"US:{TOKEN}:25:{POINT}",
        f"IL5:{TOKEN}:25",
        f"IL5:{TOKEN}:25:{POINT}:more",
        f"IL5:{TOKEN}::{POINT}",
        f"IL5:{TOKEN}:25:{POINT[:-4]}",
        f"http://ksm.company.com:{TOKEN}",
        f"ksm.company.com:99999:{TOKEN}",
        f"user@ksm.company.com:{TOKEN}",
        f"two words:{TOKEN}",
    ],
)
def test_what_is_no_token_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_token(text)

    assert TOKEN[:-2] not in f"{caught.value} {caught.value.hint}"


def test_a_token_is_not_in_its_repr() -> None:
    assert TOKEN not in repr(parse_token(f"US:{TOKEN}"))
    assert str(SECRET) not in repr(parse_token(f"US:{TOKEN}"))


def test_a_region_that_takes_no_server_key_says_so() -> None:
    with pytest.raises(SettingsError, match="too many parts"):
        parse_token(f"US:{TOKEN}:25:{POINT}")


@pytest.mark.parametrize("host", ["http://ksm.company.com", "HTTP://ksm.company.com:8443"])
def test_a_host_without_tls_is_told_that_there_is_none(host: str) -> None:
    with pytest.raises(SettingsError, match="must use https"):
        host_of(host)

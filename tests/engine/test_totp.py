"""One-time codes are those of RFC 6238 and of the official package."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from keeper_secrets_manager_core.utils import get_totp_code as official_code

from ksm_storage.engine import get_totp_code
from ksm_storage.errors import SettingsError

SEEDS = {"SHA1": b"12345678901234567890", "SHA256": b"1234567890" * 3 + b"12"}
SEEDS["SHA512"] = b"1234567890" * 6 + b"1234"


def url(secret: str, **parts: Any) -> str:
    query = "&".join(f"{name}={value}" for name, value in {"secret": secret, **parts}.items())
    return f"otpauth://totp/Example:alice?{query}"


# RFC 6238, appendix B.
@pytest.mark.parametrize(
    ("now", "algorithm", "code"),
    [
        (59, "SHA1", "94287082"),
        (59, "SHA256", "46119246"),
        (59, "SHA512", "90693936"),
        (1111111109, "SHA1", "07081804"),
        (1111111109, "SHA256", "68084774"),
        (1111111109, "SHA512", "25091201"),
        (20000000000, "SHA1", "65353130"),
        (20000000000, "SHA256", "77737706"),
        (20000000000, "SHA512", "47863826"),
    ],
)
def test_the_codes_of_the_standard_come_out(now: int, algorithm: str, code: str) -> None:
    secret = base64.b32encode(SEEDS[algorithm]).decode()

    made = get_totp_code(url(secret, algorithm=algorithm, digits=8), now=now)

    assert made.code == code
    assert made.time_left == 30 - now % 30


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"digits": 7, "period": 86400},
        {"algorithm": "sha256"},
        {"digits": "x"},
        {"digits": 0},
        {"period": 0},
        {"period": "x"},
        {"counter": 59},
    ],
)
def test_the_code_is_that_of_the_official_package(parts: dict[str, Any]) -> None:
    address = url("JBSWY3DPEHPK3PXP", **{"period": 86400, **parts})

    assert get_totp_code(address).code == official_code(address).code


def test_a_secret_may_have_spaces_and_small_letters() -> None:
    assert (
        get_totp_code(url("jbsw%20y3dp ehpk3pxp"), now=0).code
        == get_totp_code(url("JBSWY3DPEHPK3PXP"), now=0).code
    )


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com/?secret=JBSWY3DPEHPK3PXP",
        "otpauth://hotp/x?secret=JBSWY3DPEHPK3PXP",
        url(""),
        url("1"),
        url("JBSWY\u00e9"),
        "otpauth://[JBSWY3DPEHPK3PXP",
        url("JBSWY3DPEHPK3PXP", algorithm="MD5"),
        url("JBSWY3DPEHPK3PXP", digits=5),
    ],
)
def test_what_gives_no_code_is_refused_without_repeating_the_secret(address: str) -> None:
    with pytest.raises(SettingsError) as caught:
        get_totp_code(address, now=0)

    assert "JBSWY" not in f"{caught.value}{caught.value.hint}"


def test_a_code_is_not_in_its_repr() -> None:
    made = get_totp_code(url("JBSWY3DPEHPK3PXP"), now=0)

    assert made.code not in repr(made)

"""Time-based one-time passwords of an ``otpauth://totp/`` address (RFC 6238)."""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from ..errors import SettingsError

_ALGORITHMS = {"SHA1": "sha1", "SHA256": "sha256", "SHA512": "sha512"}


@dataclass(frozen=True, slots=True)
class TotpCode:
    """Hold a code; ``time_left`` and ``period`` are seconds, and the code is not in the repr."""

    code: str = field(repr=False)
    time_left: int
    period: int


def get_totp_code(url: str, *, now: float | None = None) -> TotpCode:
    """Return the code of this moment, or of ``now`` in seconds since 1970.

    Raises:
        SettingsError: Not an address of this kind; the message does not repeat it, as it
            holds the shared secret.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        # Not from it: the parser's text repeats a part of the address.
        raise _no_address() from None
    if parts.scheme != "otpauth" or parts.netloc.lower() != "totp":
        raise _no_address()
    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
    algorithm = _ALGORITHMS.get(given.get("algorithm", "SHA1").upper())
    if algorithm is None:
        raise SettingsError(
            "the one-time code's algorithm is unknown", hint=f"one of {', '.join(_ALGORITHMS)}"
        )
    digits = _number(given.get("digits"), default=6, allowed=range(6, 9))
    period = _number(given.get("period"), default=30, allowed=range(1, 86401))
    seconds = int(time.time() if now is None else now)
    mac = hmac.new(_secret(given.get("secret", "")), _counter(seconds // period), algorithm)
    return TotpCode(_truncated(mac.digest(), digits), period - seconds % period, period)


def _counter(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _truncated(mac: bytes, digits: int) -> str:
    offset = mac[-1] & 15
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


def _number(text: str | None, *, default: int, allowed: range) -> int:
    try:
        number = int(text or default)
    except ValueError as exc:
        raise SettingsError("the one-time code's digits or period are not a number") from exc
    if number not in allowed:
        raise SettingsError("the one-time code's digits or period are out of range")
    return number


def _no_address() -> SettingsError:
    return SettingsError(
        "the one-time code is not an otpauth://totp/ address",
        hint="look at the field in the vault; codes by counter (hotp) are not supported",
    )


def _secret(text: str) -> bytes:
    compact = text.replace(" ", "").rstrip("=").upper()
    try:
        secret = base64.b32decode(compact + "=" * (-len(compact) % 8))
    # Not binascii.Error alone: letters beyond ASCII are a plain ValueError.
    except ValueError as exc:
        raise SettingsError("the one-time code's secret is not base32") from exc
    if not secret:
        raise SettingsError("the one-time code has no secret")
    return secret

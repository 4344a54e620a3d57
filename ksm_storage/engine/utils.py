"""One-time codes, passwords and base64, in the official package's module of this name."""

from __future__ import annotations

import base64
import json
import secrets
import string
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import KsmStorageError
from ..wire.base64_forms import from_base64, to_base64
from . import late_errors as errors

_ALGORITHMS = ("SHA1", "SHA256", "SHA512")
_DIGITS = range(6, 9)

SPECIAL_CHARACTERS = '"!@#$%()+;<>=?[]{}^.,'
DEFAULT_PASSWORD_LENGTH = 32


@dataclass(slots=True)
class TotpCode:
    """Hold a code; ``time_left`` and ``period`` are seconds, and the code is not in the repr."""

    code: str = field(repr=False)
    time_left: int
    period: int


def get_totp_code(url: str, *, now: float | None = None) -> TotpCode:
    """Return the current code of an ``otpauth://totp/`` address (RFC 6238).

    Args:
        now: Seconds since 1970, instead of the clock; as ``counter`` in the address.

    Raises:
        ClientSettingsError: Not an address of this kind; the message does not repeat it, as it
            holds the shared secret.
    """
    # Imported here: only few programs need them.
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.twofactor.totp import TOTP

    given = _parameters(url)
    name = given.get("algorithm", "SHA1").upper()
    if name not in _ALGORITHMS:
        raise _invalid(
            f'Invalid value "{name[:16]}" for TOTP algorithm, must be SHA1, SHA256 or SHA512'
        )
    digits = _number(given.get("digits")) or 6
    if digits not in _DIGITS:
        raise _invalid("TOTP Digits may only be 6, 7, or 8")
    period = _number(given.get("period")) or 30
    seconds = int(time.time() if now is None else now)
    seconds = _number(given.get("counter")) or seconds
    # Short secrets are the user's or the site's choice, as weak as they may be.
    totp = TOTP(
        _secret(given.get("secret", "")),
        digits,
        getattr(hashes, name)(),
        period,
        enforce_key_length=False,
    )
    return TotpCode(totp.generate(seconds).decode(), period - seconds % period, period)


def _parameters(url: str) -> dict[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        # Not from it: the parser's text repeats a part of the address.
        raise _invalid("Not an otpauth URI") from None
    if parts.scheme != "otpauth":
        raise _invalid("Not an otpauth URI")
    if parts.netloc.lower() != "totp":
        raise _invalid("the one-time code is not time-based")
    return {name: values[0] for name, values in parse_qs(parts.query).items()}


def _number(text: str | None) -> int:
    # Anything else stands for the default, as in the official package.
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else 0


def _secret(text: str) -> bytes:
    compact = text.replace(" ", "").rstrip("=").upper()
    if not compact:
        raise _invalid("TOTP secret not found in URI")
    try:
        return base64.b32decode(compact + "=" * (-len(compact) % 8))
    # Not binascii.Error alone: letters beyond ASCII are a plain ValueError.
    except ValueError:
        raise _invalid("Non-base32 digit found") from None


def _invalid(message: str) -> KsmStorageError:
    return errors.ClientSettingsError(
        message, hint="check the field in the vault: it must be an otpauth://totp/ address"
    )


def generate_password(
    length: int = DEFAULT_PASSWORD_LENGTH,
    lowercase: int | None = None,
    uppercase: int | None = None,
    digits: int | None = None,
    special_characters: int | None = None,
    special_characterset: str = SPECIAL_CHARACTERS,
) -> str:
    """Return a random password.

    A positive number is the minimum of a kind of characters, 0 or a negative one its exact
    number, and None leaves it open. The rest, up to ``length``, is drawn from all kinds without
    an exact number. If all are exact and do not reach the length, they count as minimums.
    """
    kinds = [
        (lowercase, string.ascii_lowercase),
        (uppercase, string.ascii_uppercase),
        (digits, string.digits),
        (special_characters, special_characterset),
    ]
    missing = length - sum(abs(count or 0) for count, _ in kinds)
    are_all_exact = all(count is not None and count <= 0 for count, _ in kinds)
    if are_all_exact and missing > 0:
        kinds = [(abs(count or 0), letters) for count, letters in kinds]
    open_kinds = [letters for count, letters in kinds if count is None or count > 0]
    rest = "".join(open_kinds) or "".join(letters for _, letters in kinds)
    drawn = [secrets.choice(letters) for count, letters in kinds for _ in range(abs(count or 0))]
    drawn += [secrets.choice(rest) for _ in range(max(missing, 0))]
    secrets.SystemRandom().shuffle(drawn)
    return "".join(drawn)


def base64_to_bytes(s: str | None) -> bytes:
    """Decode base64 in either alphabet.

    Raises:
        ClientSettingsError: None, or not base64.
    """
    if s is None:
        raise errors.ClientSettingsError(
            "expected base64, received None: a configuration value is missing",
            hint="check the configuration, or bind the client device with a new One-Time Token",
        )
    try:
        # The official function does not add padding, and programs use it to check a value.
        if len(s) % 4:
            raise ValueError("not padded")
        return from_base64(s)
    except ValueError:
        raise errors.ClientSettingsError(
            "Failed to decode base64 data: a configuration value is truncated or damaged",
            hint="restore the configuration",
        ) from None


def url_safe_str_to_bytes(s: str | None) -> bytes:
    """Decode base64 in either alphabet, padded or not; raises as :func:`base64_to_bytes`."""
    return base64_to_bytes(None if s is None else s + "=" * (-len(s) % 4))


def base64_to_string(b64s: str | None) -> str:
    """Decode base64 of text in UTF-8; raises as :func:`base64_to_bytes`."""
    return base64_to_bytes(b64s).decode()


def bytes_to_base64(b: bytes) -> str:
    """Return base64 in the standard alphabet."""
    return to_base64(b)


def is_base64(s: str) -> bool:
    """Tell whether the text is base64 in the standard alphabet, with padding."""
    try:
        return to_base64(from_base64(s)) == s
    except ValueError:
        return False


def dict_to_json(dictionary: Any) -> str:
    """Return JSON, indented as records are stored."""
    return json.dumps(dictionary, indent=4)


def json_to_dict(json_str: str | bytes) -> Any:
    """Return what the JSON holds, None if it is not JSON."""
    try:
        return json.loads(json_str)
    except ValueError:
        return None

"""Where the server is: region codes and hosts."""

from __future__ import annotations

import re

from ..errors import SettingsError

_GOVERNMENT = "govcloud.keepersecurity.us"

HOSTS = {
    "US": "keepersecurity.com",
    "EU": "keepersecurity.eu",
    "AU": "keepersecurity.com.au",
    "CA": "keepersecurity.ca",
    "JP": "keepersecurity.jp",
    "US_GOV": _GOVERNMENT,
    "GOV": _GOVERNMENT,
    "IL5": "il5.keepersecurity.us",
}

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")


def host_of(text: str) -> str:
    """Return ``host`` or ``host:port`` for a region code, a host or an https address.

    Raises:
        SettingsError: Neither a code nor a host, or an address that is not https.
    """
    stripped = text.strip()
    if stripped.upper() in HOSTS:
        return HOSTS[stripped.upper()]
    if stripped.lower().startswith("http://"):
        raise SettingsError("the server is reached over https only", hint="leave http:// out")
    without_scheme = re.sub(r"^https://", "", stripped, flags=re.IGNORECASE)
    authority = without_scheme.split("/", 1)[0]
    match = _HOST.fullmatch(authority)
    if match is None or int(match["port"] or 443) not in range(1, 65536):
        # The text is not repeated: a token in the place of the host would end in a log.
        raise SettingsError(
            "the hostname is neither a region code nor a host",
            hint=f"give one of {', '.join(HOSTS)}, or host or host:port",
        )
    return authority

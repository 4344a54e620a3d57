"""The addresses of key services that a caller's settings may give."""

from __future__ import annotations

from .errors import SettingsError


def refuse_clear_text(url: str, *, named: str) -> None:
    """Refuse an address over which a DEK would cross the network in the clear.

    Plain HTTP is for an emulator on this machine.

    Args:
        url: The address.
        named: What the message calls it, as in ``the setting 'endpoint'``.

    Raises:
        SettingsError: It is no URL of HTTP with a host, or plain HTTP to another machine.
    """
    # Loaded with the plugins that have such a setting: the built-in keys do without.
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as exc:
        raise SettingsError(f"{named} is no http or https URL with a host: {url!r}") from exc
    if parts.scheme not in ("http", "https") or not host:
        raise SettingsError(f"{named} is no http or https URL with a host: {url!r}")
    if parts.scheme == "http" and not _is_loopback(host):
        raise SettingsError(
            f"{named} would send keys over the network in the clear: {url!r}",
            hint="use https; plain http is for an emulator on this machine (127.0.0.1)",
        )


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""The addresses of key services that a caller's settings may give."""

from __future__ import annotations

from ..errors import SettingsError

_FORM = "write it as https://HOST or https://HOST:PORT"


def refuse_clear_text(url: str, *, named: str) -> None:
    """Refuse an address over which a DEK would cross the network in the clear.

    Plain HTTP is for an emulator on this machine. The address is not repeated in a message, but
    for its host: it may hold a password.

    Args:
        url: The address.
        named: What the message calls it, as in ``the setting 'endpoint'``.

    Raises:
        SettingsError: It is no URL of HTTP with a host, or plain HTTP to another machine; or it
            has a user, a password, a query or a fragment.
    """
    # Loaded with the plugins that have such a setting: the built-in keys do without.
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    # Its text is a part of the address, and its cause would repeat it.
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or not _is_plain(url):
        raise SettingsError(f"{named} is no http or https URL with a host", hint=_FORM)
    if parts.scheme == "http" and not _is_loopback(host):
        raise SettingsError(
            f"{named} would send keys over the network in the clear, to {host!r}",
            hint="use https; plain http is for an emulator on this machine (127.0.0.1)",
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise SettingsError(
            f"{named} has a user, a password, a query or a fragment, which no key service takes",
            hint="credentials have settings of their own; change what others could see here",
        )


def _is_plain(url: str) -> bool:
    # What a shell or a file left at its ends would become a part of the address.
    return url.isascii() and url.isprintable() and " " not in url


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

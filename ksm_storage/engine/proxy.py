"""Which proxy, if any, is between this host and the server."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from ..network import proxy_url
from . import late_errors as errors

_FORM = "the form is http://[user:password@]host:port; the traffic through it is TLS"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Hold a proxy's address and the headers of the CONNECT request, maybe with a password."""

    host: str
    port: int
    headers: dict[str, str] = field(repr=False)


def proxy_for(host: str, port: int, *, given: str | None) -> Proxy | None:
    """Return the given proxy, or the environment's unless NO_PROXY excludes the host.

    Raises:
        ClientSettingsError: Not an http address; the message does not repeat it, as it may
            hold a password.
    """
    if given:
        return _parsed(given)
    found = proxy_url(host, port)
    return None if found is None else _parsed(found)


def _parsed(url: str) -> Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 80
    except ValueError:
        # Not from it: the parser's text repeats a part of the address.
        raise errors.ClientSettingsError("the proxy address is invalid", hint=_FORM) from None
    if parts.scheme != "http" or not parts.hostname:
        raise errors.ClientSettingsError("the proxy address is not an http address", hint=_FORM)
    return Proxy(parts.hostname, port, _authorization(parts))


def _authorization(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    # An environment variable may hold bytes that are not text.
    raw = credentials.encode("utf-8", "surrogateescape")
    return {"Proxy-Authorization": f"Basic {b64encode(raw).decode('ascii')}"}

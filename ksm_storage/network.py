"""How the environment says that services are reached: one rule for the client and all plugins.

The page docs/network.md states it; the clients of the services each know a part of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

# The first that is set counts; a folder holds certificates under their hashes.
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


class CaVariable(NamedTuple):
    """Name the variable that says which authorities to trust, and its file or folder."""

    name: str
    path: str

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder."""
        return os.path.isdir(self.path)


def ca_variable(*first: str, environment: Mapping[str, str] = os.environ) -> CaVariable | None:
    """Return the variable for authorities that counts; those of one service go first."""
    for name in (*first, *CA_VARIABLES):
        if path := environment.get(name):
            return CaVariable(name, path)
    return None


def proxy_url(host: str, port: int, *, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the proxy for TLS to a host, or None; one without a scheme is an http proxy.

    ``HTTPS_PROXY`` goes before ``ALL_PROXY``, lower case before upper case, as in curl.
    """
    found = _either("HTTPS_PROXY", environment) or _either("ALL_PROXY", environment)
    if not found or is_excluded(host, port, _either("NO_PROXY", environment) or ""):
        return None
    return found if "://" in found else f"http://{found}"


def is_excluded(host: str, port: int, exceptions: str) -> bool:
    """Tell whether ``NO_PROXY`` names a host: ``*``, a name or suffix, an address or a network.

    Each may have a port behind a colon, an IPv6 address then stands in brackets.
    """
    host = host.strip("[]").rstrip(".").lower()
    return any(_matches(entry, host, port) for entry in exceptions.replace(",", " ").split())


def _either(name: str, environment: Mapping[str, str]) -> str | None:
    return environment.get(name.lower()) or environment.get(name)


def _matches(entry: str, host: str, port: int) -> bool:
    name, wanted = _split(entry.lower())
    if wanted not in (None, str(port)):
        return False
    if name == "*":
        return True
    address = _in_network(host, name)
    if address is not None:
        return address
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split(entry: str) -> tuple[str, str | None]:
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest[1:] or None
    name, colon, port = entry.rpartition(":")
    # More than one colon is an IPv6 address.
    return (name, port) if colon and ":" not in name else (entry, None)


def _in_network(host: str, entry: str) -> bool | None:
    """Return None unless the entry is an address or a network, or the host is an address."""
    # Imported here: most machines have no proxy.
    from ipaddress import ip_address, ip_network

    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return None
    try:
        return ip_address(host) in network
    except ValueError:
        return False

"""How services are reached: the standard options, and one rule for endpoints, proxies and CAs.

The page docs/network.md states the rule for proxies and authorities, which the client and all
plugins share; the clients of the services each know a part of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypeGuard

from .contract.settings import Option, Settings, validate_authorities
from .errors import SettingsError
from .named_tuple import NamedTuple

# The first that is set counts; a folder holds certificates under their hashes.
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
# The first that is set counts.
PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
# Without blanks, and without what would be cut off: a password's own '/', '?' and '#', and a name
# beside an address in brackets.
_PROXY = re.compile(
    r"(?:https?://)?(?:[^/?#\s]*@)?(?:[\w.-]+|\[[\w.:]+\])(?::[0-9]*)?/?", re.ASCII | re.IGNORECASE
)
# What Python's resolver refuses otherwise, with an error that no client of a service expects.
_NAME = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})*\.?", re.ASCII)
_PROXY_HINT = (
    "write it as http://[USER:PASSWORD@]HOST:PORT, with special characters in the password "
    "percent-encoded"
)
_PORTS = {"http": 80, "https": 443}
_URL_HINT = "write it as https://HOST or https://HOST:PORT"

_STANDARD = (
    Option("endpoint", "URL of {service}, for a private endpoint or an emulator."),
    Option("ca_file", "PEM file or folder of the certificate authorities to trust for TLS."),
    Option("connect_timeout", "Seconds to wait for a connection.", kind=float, default=3.0),
    Option("read_timeout", "Seconds to wait for a reply.", kind=float, default=6.0),
    Option(
        "deadline",
        "Seconds for a whole call: credentials, retries and pauses included.",
        kind=float,
        default=20.0,
    ),
)


class CaVariable(NamedTuple):
    """Name the variable that says which authorities to trust, and its file or folder."""

    name: str
    path: str


def ca_variable(*first: str, environment: Mapping[str, str] = os.environ) -> CaVariable | None:
    """Return the variable for authorities that counts; those of one service go first."""
    for name in (*first, *CA_VARIABLES):
        if path := environment.get(name):
            return CaVariable(name, path)
    return None


def trusted_authorities(given: str | None, *first: str) -> str | None:
    """Return the given file or folder, else that of :func:`ca_variable`, or None.

    Raises:
        SettingsError: As :func:`validate_authorities` does; the message names its source.
    """
    if given is not None:
        validate_authorities(given, named="the argument ca_file (--ca-file)")
        return given
    found = ca_variable(*first)
    if found is None:
        return None
    validate_authorities(found.path, named=f"the environment variable {found.name}")
    return found.path


class Proxy(NamedTuple):
    """Hold the address of a proxy; it may have a password, and so is in no ``repr``.

    Attributes:
        named: What messages call it: the variable or the argument that it comes from.
        user: Its user and password as the URL has them, percent-encoded, or nothing.
    """

    named: str
    scheme: str
    host: str
    port: int
    user: str

    @property
    def variable(self) -> str:
        """The variable or the argument that it comes from, by its name."""
        return self.named.rpartition(" ")[2]

    @property
    def url(self) -> str:
        """Its URL, a secret."""
        return f"{self.scheme}://{self.user}{'@' if self.user else ''}{self}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a CONNECT request, a secret."""
        if not self.user:
            return {}
        from base64 import b64encode
        from urllib.parse import unquote

        name, _, password = self.user.partition(":")
        # An environment variable may hold bytes that are not text.
        raw = f"{unquote(name)}:{unquote(password)}".encode("utf-8", "surrogateescape")
        return {"Proxy-Authorization": f"Basic {b64encode(raw).decode('ascii')}"}

    def require_http(self) -> None:
        """Refuse a proxy that is spoken to over TLS, for a client that cannot.

        Raises:
            SettingsError: It is one.
        """
        if self.scheme != "http":
            raise SettingsError(
                f"{self.named} names an https:// proxy, which is not supported here",
                hint="write it as http://HOST:PORT if the proxy allows it: the connection to the "
                "service is TLS all the same",
            )

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return str(self)


def proxy_for(host: str, port: int, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """Return the proxy of the environment for TLS to a host, or None.

    Raises:
        SettingsError: As :func:`parse_proxy` does.
    """
    exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if is_excluded(host, port, exceptions):
        return None
    return environment_proxy(environment)


def environment_proxy(environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """Return the proxy of the environment for hosts that ``NO_PROXY`` does not name, or None.

    ``HTTPS_PROXY`` goes before ``ALL_PROXY``, lower case before upper case, as in curl.

    Raises:
        SettingsError: As :func:`parse_proxy` does.
    """
    name = next((each for each in PROXY_VARIABLES if environment.get(each)), None)
    if name is None:
        return None
    return parse_proxy(environment[name], named=f"the environment variable {name}")


def parse_proxy(text: str, *, named: str) -> Proxy:
    """Return the proxy of an address; one without a scheme is an ``http`` proxy.

    Raises:
        SettingsError: It is not the address of an HTTP proxy. The message does not repeat it, as
            it may hold a password.
    """
    from urllib.parse import urlsplit

    # Desktops set ALL_PROXY to socks://, which leaves the version open.
    if re.match("socks(?:4a?|5h?)?://", text, re.IGNORECASE):
        raise SettingsError(
            f"{named} names a SOCKS proxy, which is not supported",
            hint="use an HTTP proxy: http://[USER:PASSWORD@]HOST:PORT",
        )
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
    # Its text is a part of the address, and its cause would repeat it.
    except ValueError:
        host, port = "", None
    if not _is_host(host) or port == 0 or not _PROXY.fullmatch(text):
        raise SettingsError(f"{named} is not a valid proxy address", hint=_PROXY_HINT)
    user = parts.netloc.rpartition("@")[0]
    return Proxy(named, parts.scheme, host, port or _PORTS[parts.scheme], user)


def proxies_for(url: str) -> dict[str, str]:
    """Return the proxy for a URL in the form of ``requests``; nothing for plain HTTP.

    Plain HTTP is for an emulator or a metadata service, which no proxy can reach.

    Raises:
        SettingsError: As :func:`parse_proxy` does.
    """
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme != "https":
        return {}
    proxy = proxy_for(parts.hostname or "", parts.port or 443)
    return {} if proxy is None else {"https": proxy.url}


def is_excluded(host: str, port: int, exceptions: str) -> bool:
    """Tell whether ``NO_PROXY`` names a host: ``*``, a name or suffix, an address or a network.

    Each may have a port behind a colon, an IPv6 address then stands in brackets. A host that is
    an address is named by addresses and networks only, as in curl.
    """
    host = host.strip("[]").rstrip(".").lower()
    return any(_matches(entry, host, port) for entry in exceptions.replace(",", " ").split())


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
        prefix, _, port = rest.partition(":")
        return name + prefix, port or None
    name, colon, port = entry.rpartition(":")
    # More than one colon is an IPv6 address.
    return (name, port or None) if colon and ":" not in name else (entry, None)


def _in_network(host: str, entry: str) -> bool | None:
    """Return None unless the entry is an address or a network, or the host is an address."""
    # Imported here: most machines have no proxy.
    from ipaddress import ip_address, ip_network

    address = network = None
    with suppress(ValueError):
        address = ip_address(host)
    with suppress(ValueError):
        network = ip_network(entry, strict=False)
    if address is None and network is None:
        return None
    return address is not None and network is not None and address in network


def standard_options(service: str, *, without: Sequence[str] = ()) -> list[Option]:
    """Return the options that every plugin of a network service has, by the same names."""
    return [
        option._replace(help=option.help.format(service=service))
        for option in _STANDARD
        if option.name not in without
    ]


def direct_call_option(service: str) -> Option:
    """Return the option by which a user turns the direct call of a plugin off."""
    text = f"Call {service} without its SDK, where the credentials and the operation allow it."
    return Option("direct_call", text, kind=bool, default=True)


class Connection(NamedTuple):
    """Hold what the standard options say; what a plugin leaves out is None or the default."""

    endpoint: str | None
    ca_file: str | None
    connect_timeout: float
    read_timeout: float
    deadline: float

    @classmethod
    def from_settings(cls, settings: Settings) -> Connection:
        """Check the standard settings, and shorten one attempt so that it fits the deadline.

        Raises:
            SettingsError: A setting cannot be used.
        """
        declared = set(settings)
        seconds = {
            option.name: settings.seconds(option.name)
            if option.name in declared
            else float(str(option.default))
            for option in _STANDARD
            if option.kind is float
        }
        attempt = seconds["connect_timeout"] + seconds["read_timeout"]
        shortened = min(1.0, seconds["deadline"] / attempt)
        return cls(
            endpoint=endpoint_setting(settings, "endpoint") if "endpoint" in declared else None,
            ca_file=settings.authorities("ca_file"),
            connect_timeout=seconds["connect_timeout"] * shortened,
            read_timeout=seconds["read_timeout"] * shortened,
            deadline=seconds["deadline"],
        )

    def trusting(self, *variables: str) -> Connection:
        """Return it with the CA file or folder of the environment, unless it has one.

        Args:
            variables: Those of the service, which go before the ones that all programs share.

        Raises:
            SettingsError: As :func:`validate_authorities` does.
        """
        if self.ca_file is not None:
            return self
        return self._replace(ca_file=trusted_authorities(None, *variables))

    @property
    def attempt(self) -> float:
        """Seconds that one attempt may take at most."""
        return self.connect_timeout + self.read_timeout


def endpoint_setting(settings: Settings, name: str) -> str | None:
    """Return a setting that is the URL of a service, without a slash at its end, or None.

    Raises:
        SettingsError: As :func:`validate_endpoint` does.
    """
    url = settings.text(name)
    if url is None:
        return None
    validate_endpoint(url, named=f"the setting {name!r}")
    return url.rstrip("/")


def validate_endpoint(url: str, *, named: str) -> None:
    """Refuse an address over which a data key would cross the network in the clear.

    Plain HTTP is for an emulator on this machine. The address is not repeated in a message, but
    for its host: it may hold a password.

    Args:
        url: The address.
        named: What the message calls it, as in ``the setting 'endpoint'``.

    Raises:
        SettingsError: It is not an HTTP URL with a host, or plain HTTP to another machine; or it
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
    if not _is_host(host) or parts.scheme not in ("http", "https") or not _is_plain(url):
        raise SettingsError(f"{named} is not an http or https URL with a host", hint=_URL_HINT)
    if parts.scheme == "http" and not _is_loopback(host):
        raise SettingsError(
            f"{named} would send keys over the network in the clear, to {host!r}",
            hint="use https; plain http is for an emulator on this machine (127.0.0.1)",
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise SettingsError(
            f"{named} has a user, a password, a query or a fragment",
            hint="remove it, use the options for credentials, and rotate any secret in it that "
            "others may have seen",
        )


def is_plain_http(url: str) -> bool:
    """Tell whether the URL is plain HTTP: an emulator's, which must be reached without a proxy.

    Through a proxy the data key would leave this machine in the clear, and the proxy's
    "localhost" is another machine.
    """
    return url.lower().startswith("http://")


def _is_plain(url: str) -> bool:
    # What a shell or a file left at its ends would become a part of the address.
    return url.isascii() and url.isprintable() and " " not in url


def _is_host(text: str | None) -> TypeGuard[str]:
    return text is not None and (":" in text or _NAME.fullmatch(text) is not None)


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

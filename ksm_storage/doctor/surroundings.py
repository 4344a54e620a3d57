"""What can interfere on this machine: versions, the clock, proxies, CA files, locks, labels."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version

from ..contract.settings import validate_authorities
from ..errors import SettingsError
from ..network import CA_VARIABLES, PROXY_VARIABLES, ca_variable, environment_proxy

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_SCHEMES = ("http://", "https://", "socks://", "socks4://", "socks4a://", "socks5://", "socks5h://")
_CA_FILES = (
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
)
_PORTS = {"": "80", "http": "80", "https": "443"}
_PROXY_SECONDS = 2.0
_CLOCK_TOLERANCE = timedelta(minutes=5)
# What file systems answer that have no locks, or whose lock server does not run.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}

# Releases that their makers withdrew from the index: distribution, versions, the provider that
# needs it (None for the command line), and why.
_WITHDRAWN = (
    ("click", {"8.2.2"}, None, "it changes the meaning of boolean options"),
    (
        "grpcio",
        {"1.78.1"},
        "gcp-kms",
        "it caused outages on Google's serverless platforms",
    ),
    (
        "requests",
        {"2.32.0", "2.32.1"},
        "azure-kv",
        "it conflicts with its own fix of CVE-2024-35195",
    ),
    ("urllib3", {"2.0.0", "2.0.1"}, "oracle-kv", "it cuts off large compressed replies"),
)


def version_notes(provider: str | None) -> Iterator[str]:
    """Yield which libraries of a provider, or of the command line, are in a withdrawn version."""
    for name, versions, user, reason in _WITHDRAWN:
        if user != provider:
            continue
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if installed in versions:
            yield (
                f"{name} {installed} was withdrawn by its maintainers: {reason}; "
                f"run: pip install --upgrade {name}"
            )


def network_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that say how services are reached, without credentials."""
    proxies = [name for each in _PROXIES for name in (each, each.lower()) if environment.get(name)]
    # Exceptions alone, as containers have them, say nothing.
    if all(name.lower() == "no_proxy" for name in proxies):
        proxies = []
    names = [*proxies, *(name for name in _CA_FILES if environment.get(name))]
    return {name: _without_password(environment[name]) for name in names}


def network_in_force(environment: Mapping[str, str]) -> set[str]:
    """Return the variables that count: the first for the proxy, its exceptions, and for the CA."""
    exceptions = ("no_proxy", "NO_PROXY")
    groups = (PROXY_VARIABLES, exceptions, CA_VARIABLES)
    first = (next((name for name in group if environment.get(name)), None) for group in groups)
    return {name for name in first if name is not None}


def network_notes(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with these variables."""
    for name in _CA_FILES:
        path = environment.get(name)
        if path and not os.path.exists(path):
            yield f"${name} names a file that does not exist: {path}"
        elif path and not os.access(path, os.R_OK):
            yield f"${name} names a file that cannot be read: {path}"
    if environment.get("NODE_EXTRA_CA_CERTS") and not any(map(environment.get, _CA_FILES)):
        yield "$NODE_EXTRA_CA_CERTS is used by Node.js alone; set SSL_CERT_FILE for ksm-storage"
    for name in _PROXIES[:3]:
        upper, lower = environment.get(name), environment.get(name.lower())
        if upper and lower and upper != lower:
            yield f"${name} and ${name.lower()} differ; programs do not agree on which counts"
        for url in filter(None, (upper, lower)):
            if "://" not in url:
                yield f"${name} has no scheme: write http://HOST:PORT"
    yield from _refused(environment)


def _refused(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield why those in force are refused by whoever connects to a service."""
    try:
        environment_proxy(environment)
    except SettingsError as exc:
        yield f"{exc.message}; {exc.hint}"
    found = ca_variable(environment=environment)
    # One that is missing was named with all others.
    if found is None or not os.access(found.path, os.R_OK):
        return
    try:
        validate_authorities(found.path, named=f"the environment variable {found.name}")
    except SettingsError as exc:
        yield f"{exc.message}; {exc.hint}"


def proxy_notes(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield which of the proxies named by these variables take no connections."""
    import socket

    names = [name for each in _PROXIES[:3] for name in (each, each.lower())]
    found = {_without_password(environment[name]): name for name in names if environment.get(name)}
    for url, name in found.items():
        scheme, _, place = url.rpartition("://")
        place = re.split(r"[/?#]", place.rpartition("@")[2], maxsplit=1)[0]
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal():
            host, port = place, _PORTS.get(scheme.lower(), "1080")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _PROXY_SECONDS).close()
        # UnicodeError: what cannot be a name in DNS, such as a..b.
        except (socket.gaierror, UnicodeError):
            yield f"the host of the proxy in ${name} has no address: {host}"
        except (OSError, OverflowError) as exc:
            reason = getattr(exc, "strerror", None) or "no answer"
            yield f"the proxy in ${name} takes no connections at {host}:{port}: {reason}"


def clock_notes(sealed: datetime) -> Iterator[str]:
    """Yield a note if this machine's clock is behind the time at which a file was sealed."""
    behind = sealed - datetime.now(UTC)
    if behind > _CLOCK_TOLERANCE:
        yield (
            f"the clock of this machine is at least {_rounded(behind)} behind the file's last "
            "save; key services reject requests with a wrong time"
        )


def lock_notes(path: str) -> Iterator[str]:
    """Yield a note if the file system of a file has no locks; changes nothing."""
    if os.name != "posix":
        return
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in _NO_LOCKS:
            yield f"the file system has no locks ({exc.strerror}): writers are not serialised"
    finally:
        os.close(descriptor)


def label_of(path: str) -> str | None:
    """Return the SELinux label of a file, or None."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        raw: bytes = os.getxattr(path, "security.selinux")
    except OSError:
        return None
    return raw.rstrip(b"\0").decode("ascii", errors="replace")


def _rounded(time: timedelta) -> str:
    minutes = int(time.total_seconds() // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"


def _without_password(value: str) -> str:
    # Cut and not parsed: a password with '/', '#' or '?' in it would end up in the host's part.
    before, at, after = value.rpartition("@")
    if not at:
        return value
    scheme = next((each for each in _SCHEMES if before.lower().startswith(each)), "")
    host = re.split(r"[/?#]", after, maxsplit=1)[0]
    return f"{scheme}(credentials)@{host}"

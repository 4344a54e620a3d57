"""Error tables: from a service's codes and a client's exceptions to documented errors.

A plugin has one table of codes and one of class names; what all clients share is here. Only a
failure loads this module.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping

from ..errors import KsmStorageError, ProviderError, SettingsError, ThrottledError, UnavailableError
from ..named_tuple import NamedTuple
from ..network import ca_variable, environment_proxy
from .exception_chain import chain_of

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")
_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
# What the standard library, and with it urllib3 and its callers, and gRPC say of the answer of a
# proxy to CONNECT.
_PROXY_STATUS = re.compile(
    r"(?:Tunnel connection failed:|HTTP proxy returned response code) ([1-5][0-9]{2})"
)


class Call(NamedTuple):
    """Say which call failed.

    Attributes:
        operation: The service's name of the operation.
        key: The key as it was named.
        place: The service and where it is, as it stands in a message: ``AWS KMS in 'eu-west-1'``.
        permission: The service's name of the permission that the operation takes.
    """

    operation: str
    key: str
    place: str
    permission: str | None = None


class ErrorRule(NamedTuple):
    """Hold one row of an error table.

    Attributes:
        kind: The class of the error.
        message: One lower-case clause. ``{key}``, ``{place}``, ``{operation}`` and
            ``{permission}`` stand for the call's, ``{detail}`` for what the code adds;
            ``{proxy}``, ``{proxy_seen}``, ``{through}`` and ``{ca}`` for what the environment
            says of the network.
        hint: The next step, with the same words.
        permission: The permission that is missing, or may be: ``{permission}`` for the call's.
    """

    kind: type[KsmStorageError]
    message: str
    hint: str | None = None
    permission: str | None = None

    def error(
        self, call: Call, *, request_id: str | None = None, detail: str = ""
    ) -> KsmStorageError:
        """Return the error for one failed call."""
        words = {
            "key": repr(call.key),
            "place": call.place,
            "operation": call.operation,
            "permission": call.permission or "the permission for it",
            "detail": detail,
            **_network_words(),
        }
        permission = call.permission if self.permission == "{permission}" else self.permission
        return self.kind(
            self.message.format(**words),
            hint=self.hint.format(**words) if self.hint else None,
            permission=permission,
            request_id=request_id,
        )


UNTRUSTED_CERTIFICATE = ErrorRule(
    ProviderError,
    "the TLS certificate of {place} is not trusted",
    "for a private endpoint or an inspecting proxy{proxy_seen}, {ca}",
)
UNREADABLE_FILE = ErrorRule(
    SettingsError,
    "cannot read a file named in the settings or in the environment",
    "check the option 'ca_file', and the files that the credentials name",
)
UNREACHABLE = ErrorRule(
    UnavailableError,
    "cannot reach {place}",
    "check the network, {proxy} and the address of the service",
)
_CHECK_NAMES = (
    "check the address of the service, {proxy}, and DNS on this host "
    "(/etc/resolv.conf, a VPN, a private zone)"
)
UNRESOLVED = ErrorRule(UnavailableError, "cannot resolve the hostname of {place}", _CHECK_NAMES)
TOO_SLOW = ErrorRule(
    UnavailableError,
    "{place} did not answer in time",
    "retry; the options for time-outs and 'deadline' set the limits{through}",
)
CUT_OFF = ErrorRule(
    UnavailableError,
    "the connection to {place} was closed before the reply was complete",
    "retry; if it persists, check the proxy between this host and the service{through}",
)
PROXY_CREDENTIALS = ErrorRule(
    UnavailableError,
    "{proxy} requires a valid user and password (status 407)",
    "write them in the variable as http://USER:PASSWORD@HOST:PORT, with special characters "
    "percent-encoded; only Basic authentication is supported",
)
PROXY_FORBIDS = ErrorRule(
    UnavailableError,
    "{proxy} refused to connect to {place} (status 403)",
    "allow the service's host on the proxy, or list it in NO_PROXY if it is reachable without",
)
PROXY_FAILED = ErrorRule(
    UnavailableError,
    "{proxy} could not connect to {place} (status {status})",
    "check the address of the service, and that the proxy can reach it",
)
REDIRECTED = ErrorRule(
    ProviderError,
    "{place} answered with a redirect, which is not followed",
    "check the address of the service, and the proxy between this host and the service",
)
UNREADABLE_REPLY = ErrorRule(
    UnavailableError,
    "invalid reply from {place} to {operation} ({detail})",
    "retry; if it persists, check the proxy between this host and the service",
)
SERVICE_FAILED = ErrorRule(
    UnavailableError, "{place} reported an internal error ({detail})", "retry later"
)
THROTTLED = ErrorRule(
    ThrottledError, "{place} is throttling requests ({detail})", "retry later, or raise the quota"
)
REJECTED = ErrorRule(
    ProviderError,
    "{place} rejected the request for the key {key} ({detail})",
    "look the code up in the service's documentation; if it is not there, a proxy or a firewall "
    "answered instead of the service",
)
PROXY_LOGIN = ErrorRule(
    ProviderError,
    "the proxy between this host and {place} requires a login ({detail})",
    "put the user name and password into the proxy variable: http://USER:PASSWORD@HOST:PORT",
)


def error_rules(
    kind: type[KsmStorageError],
    rows: Mapping[str, tuple[str, str | None]],
    *,
    permission: str | None = None,
) -> dict[str, ErrorRule]:
    """Return the rules of one class: codes, separated by spaces, with their message and hint."""
    return {
        code: ErrorRule(kind, message, hint, permission)
        for codes, (message, hint) in rows.items()
        for code in codes.split()
    }


# By the names of classes, which the clients of the services share: urllib3, requests, botocore,
# the standard library. Names and not classes, because a table must not import a client. The more
# telling ones come first: an exception of a client wraps others.
NETWORK_RULES: Mapping[str, ErrorRule] = {
    "SSLCertVerificationError": UNTRUSTED_CERTIFICATE,
    "RedirectRefusedError": REDIRECTED,
    "TooManyRedirects": REDIRECTED,
    "DeadlinePassedError": TOO_SLOW,
    "NameResolutionError": UNRESOLVED,
    "gaierror": UNRESOLVED,
    # Before the time-outs: one of urllib3's is both.
    "NewConnectionError": UNREACHABLE,
    "ConnectionRefusedError": UNREACHABLE,
    "ConnectTimeoutError": TOO_SLOW,
    "ReadTimeoutError": TOO_SLOW,
    "ProxyConnectionError": UNREACHABLE,
    "ProxyError": UNREACHABLE,
    "EndpointConnectionError": UNREACHABLE,
    "ConnectionClosedError": CUT_OFF,
    "IncompleteReadError": CUT_OFF,
    "IncompleteRead": CUT_OFF,
    "RemoteDisconnected": CUT_OFF,
    "ConnectionResetError": CUT_OFF,
    "BrokenPipeError": CUT_OFF,
    "ChunkedEncodingError": CUT_OFF,
    "ProtocolError": CUT_OFF,
    "SSLError": CUT_OFF,
    "DecodeError": CUT_OFF,
    "HTTPClientError": CUT_OFF,
    "HTTPException": CUT_OFF,
    "Timeout": TOO_SLOW,
    "TimeoutError": TOO_SLOW,
    "ConnectionError": UNREACHABLE,
    "RequestException": UNREACHABLE,
    "HTTPError": UNREACHABLE,
    "OSError": UNREACHABLE,
}


def proxy_refusal(exc: BaseException) -> ErrorRule | None:
    """Return the rule for a proxy that answered, but did not connect to the service; or None."""
    for link in chain_of(exc):
        text = link.args[0] if link.args else ""
        if isinstance(text, str) and (found := _PROXY_STATUS.search(text)):
            rule = {"407": PROXY_CREDENTIALS, "403": PROXY_FORBIDS}.get(found[1], PROXY_FAILED)
            return rule._replace(message=rule.message.replace("{status}", found[1]))
    return None


def is_final_failure(exc: BaseException) -> bool:
    """Tell whether the next attempt would fail too: an untrusted certificate, a proxy's refusal."""
    if any(isinstance(link, ssl.SSLCertVerificationError) for link in chain_of(exc)):
        return True
    return proxy_refusal(exc) in (PROXY_CREDENTIALS, PROXY_FORBIDS)


def rule_for_failure(exc: BaseException, rules: Mapping[str, ErrorRule]) -> ErrorRule | None:
    """Return the first rule that names a class of the exception or of anything it wraps.

    An untrusted certificate, an unreadable file and a proxy's refusal take precedence.
    """
    chain = list(chain_of(exc))
    if any(isinstance(link, ssl.SSLCertVerificationError) for link in chain):
        return UNTRUSTED_CERTIFICATE
    if any(_is_about_a_file(link) for link in chain):
        return UNREADABLE_FILE
    if (refusal := proxy_refusal(exc)) is not None:
        return refusal
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    found = next((rule for name, rule in rules.items() if name in names), None)
    return unresolved_name(_host_in(chain)) if found is UNRESOLVED else found


def unresolved_name(host: object) -> ErrorRule:
    """Return the rule for a name without an address; the message has the name if it is one."""
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        return UNRESOLVED
    # The proxy's, if there is one.
    return UNRESOLVED._replace(message=f"cannot resolve the hostname {host!r}")


def error_for(
    exc: Exception, call: Call, rules: Mapping[str, ErrorRule] = NETWORK_RULES
) -> KsmStorageError:
    """Return the error by the rules; that of an unreadable reply where no rule fits."""
    rule = rule_for_failure(exc, rules)
    return unreadable_reply(call) if rule is None else rule.error(call)


def rule_for_status(status: int) -> ErrorRule:
    """Return the rule for an HTTP status whose code is in no table; it takes a ``detail``."""
    if status == 429:
        return THROTTLED
    if status == 407:
        return PROXY_LOGIN
    if 300 <= status < 400:
        return REDIRECTED
    return SERVICE_FAILED if status >= 500 else REJECTED


def shown_code(code: object) -> str:
    """Return a service's code as messages show it: anything but a plain word is left out."""
    text = str(code)
    return text if _CODE.fullmatch(text) else "unknown code"


def unreadable_reply(call: Call) -> KsmStorageError:
    """Return the error for an exception in no table: the client could not read the reply."""
    return UNREADABLE_REPLY.error(call, detail="not in the format of the service")


def incomplete_reply(name: str, call: Call, *, request_id: str | None = None) -> KsmStorageError:
    """Return the error for a reply without a member, or with one that cannot be used."""
    return UNREADABLE_REPLY.error(call, request_id=request_id, detail=f"no valid {name!r}")


def other_key_error(
    service: str,
    used: str,
    found: object,
    asked: object,
    *,
    check: str = "the endpoint",
    request_id: str | None = None,
) -> ProviderError:
    """Return the error for a reply that names another key than the one that was asked for.

    Args:
        service: The service, as in ``KMS``.
        used: What it did, as in ``signed with``.
        found: The key in the reply.
        asked: The key in the request.
        check: What leads to the service, and may be wrong.
        request_id: The id that the service gave the request.
    """
    return ProviderError(
        f"{service} {used} the key {str(found)!r} instead of {str(asked)!r}",
        hint=f"check {check}: {service} itself does not do this",
        request_id=request_id,
    )


def _network_words() -> dict[str, str]:
    """Return what hints say of the proxy and the authorities of the environment."""
    found = ca_variable()
    ca = "set the option 'ca_file' to its CA file"
    if found is not None:
        ca = f"add its CA certificate to those of {found.name}, or {ca}"
    try:
        proxy = environment_proxy()
    except SettingsError:  # Whoever uses it has reported it.
        proxy = None
    if proxy is None:
        return {"proxy": "the proxy settings", "proxy_seen": "", "through": "", "ca": ca}
    shown = f"the proxy '{proxy}' ({proxy.variable})"
    return {
        "proxy": shown,
        "proxy_seen": f" such as '{proxy}' ({proxy.variable})",
        "through": f"; check {shown} and its scheme, http:// or https://",
        "ca": ca,
    }


def _host_in(chain: list[BaseException]) -> object:
    connections = (getattr(link, "conn", None) for link in chain)
    return next((host for each in connections if (host := getattr(each, "host", None))), None)


def _is_about_a_file(exc: BaseException) -> bool:
    if isinstance(exc, ssl.SSLError):
        # A file without any certificate, or with a damaged one, which has no reason.
        reason, library = getattr(exc, "reason", None), getattr(exc, "library", None)
        return reason == "NO_CERTIFICATE_OR_CRL_FOUND" or library == "X509"
    return isinstance(exc, (FileNotFoundError, PermissionError, IsADirectoryError))

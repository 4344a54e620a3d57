"""Why no answer came, in words of our own: the cause's text may repeat what was sent."""

from __future__ import annotations

import socket
import ssl

from .errors import ServerUnreachableError
from .proxy import Proxy
from .regions import HOSTS

# OpenSSL's numbers, X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH, then
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_OTHER_NAME = frozenset({62, 64})
_OUT_OF_TIME = frozenset({9, 10})

# What http.client says when a proxy answers CONNECT with anything but success.
_TUNNEL_REFUSED = "Tunnel connection failed"


def untrusted(exc: ssl.SSLCertVerificationError, host: str) -> ServerUnreachableError:
    """Return the error for a certificate that does not hold."""
    message = f"the certificate of {host!r} is not trusted"
    hint = "give the CA that signed it as ca_file"
    if exc.verify_code in _OTHER_NAME:
        message += ": it is for another name"
        hint = "give the hostname as it is in the certificate"
    elif exc.verify_code in _OUT_OF_TIME:
        message += ": it is expired or not valid yet"
        hint = "check the clock of this machine; else the server needs a new certificate"
    return ServerUnreachableError(message, hint=hint, operation="connect")


def unreachable(
    exc: Exception, *, host: str, port: int, proxy: Proxy | None
) -> ServerUnreachableError:
    """Return the error for a connection that failed or was silent."""
    server = repr(f"{host}:{port}")
    peer = server if proxy is None else f"the proxy '{proxy.host}:{proxy.port}'"
    hint = "check the network, the proxy and the hostname"
    if isinstance(exc, (socket.gaierror, UnicodeError)):
        name = host if proxy is None else proxy.host
        message, hint = f"the name {name!r} is not known to this machine", _names_hint(name)
    elif str(exc).startswith(_TUNNEL_REFUSED):
        message = f"{peer} refuses to connect to {server}"
        hint = "a proxy that wants a password takes it from $HTTPS_PROXY"
    elif isinstance(exc, TimeoutError):
        message = f"{peer} does not answer in time"
    else:
        message = f"{peer} cannot be reached"
    return ServerUnreachableError(message, hint=hint, operation="connect")


def _names_hint(name: str) -> str:
    if "." in name:
        return "check the network and the hostname"
    # Most likely the first part of a one-time token.
    return f"the regions are {', '.join(HOSTS)}; else give a host"

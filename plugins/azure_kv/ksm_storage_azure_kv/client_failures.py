"""What the exceptions of the Azure client mean when no reply came, or none that can be read."""

from __future__ import annotations

import ssl

from azure.core import exceptions as sdk

from ksm_storage.plugin import AuthenticationError, ProviderError, UnavailableError, chain_of

from .refusal import Refusal

UNTRUSTED_CERTIFICATE = Refusal(
    ProviderError,
    "the certificate of the host {host} is not trusted",
    "for an inspecting proxy or an emulator, name its authority with the option 'ca_file'; check "
    "the option 'connect_to'",
)
TOO_SLOW = Refusal(
    UnavailableError,
    "the vault {host} did not answer in time",
    "try again; the options 'connect_timeout', 'read_timeout' and 'deadline' set the limits",
)
UNREACHABLE = Refusal(
    UnavailableError,
    "cannot reach the vault {host}",
    "check the vault's name (a deleted vault has no address), the network and the proxy settings",
)
CUT_OFF = Refusal(
    UnavailableError,
    "the connection to the vault {host} was cut off",
    "try again; if it stays, look at the proxies between here and the vault",
)
UNREADABLE = Refusal(
    UnavailableError,
    "the reply of the vault {host} cannot be read: it was cut off or altered on its way",
    "try again; if it stays, look at the proxies between here and the vault",
)
FOREIGN_CHALLENGE = Refusal(
    AuthenticationError,
    "the host {host} asks for a token of a resource that is not its own; none was sent",
    "this is not the vault, or one of another cloud: see the options 'authority_host' and "
    "'connect_to'",
)
# What the client raises for a reply of another form: on purpose, and by accident.
UNREADABLE_REPLIES: tuple[type[Exception], ...] = (
    sdk.DecodeError,
    UnicodeError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)
# What it raises otherwise: on purpose; for a challenge that does not fit; from our transport.
FAILURES: tuple[type[Exception], ...] = (sdk.AzureError, ValueError, OSError)

UNKNOWN = Refusal(
    ProviderError,
    "the Azure client could not make the call for the key {key}",
    "report it with the output of: pip list",
)


_TIMEOUTS = (sdk.ServiceRequestTimeoutError, sdk.ServiceResponseTimeoutError, TimeoutError)


def refusal_for_failure(exc: Exception) -> Refusal:
    """Return the meaning of an exception without a reply."""
    if is_untrusted(exc):
        return UNTRUSTED_CERTIFICATE
    if isinstance(exc, _TIMEOUTS):
        return TOO_SLOW
    if isinstance(exc, (sdk.ServiceResponseError, sdk.IncompleteReadError)):
        return CUT_OFF
    if isinstance(exc, sdk.ServiceRequestError):
        return UNREACHABLE
    return UNKNOWN


def is_untrusted(exc: Exception) -> bool:
    """Tell whether the failure is a certificate that does not hold."""
    return any(isinstance(link, ssl.SSLCertVerificationError) for link in chain_of(exc))


def without_bodies(exc: Exception) -> Exception:
    """Return the exception without requests and replies, for it becomes our ``__cause__``.

    A request to wrap holds the DEK, and so does a reply to an unwrap; a request for a token
    holds the secret, and its reply the token.
    """
    for link in chain_of(exc):
        for name in ("request", "response", "model"):
            if getattr(link, name, None) is not None:
                vars(link)[name] = None
    return exc


def repeats_a_reply(exc: Exception) -> bool:
    """Tell whether the exception or its causes carry text of a reply that could not be read."""
    return any(
        isinstance(link, (sdk.DecodeError, UnicodeError))
        and not isinstance(link, sdk.IncompleteReadError)
        for link in chain_of(exc)
    )

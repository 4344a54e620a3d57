"""What each exception of Oracle's client itself means, by the name of its class.

Names and not classes, because importing the module must not import the client. Sources:
``oci.exceptions``, and the exceptions of the copy of requests that the client carries.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from ksm_storage.plugin import (
    AuthenticationError,
    ProviderError,
    SettingsError,
    UnavailableError,
    chain_of,
)

from .refusal import Refusal

_UNTRUSTED = Refusal(
    ProviderError,
    "the certificate of the endpoint {endpoint} is not trusted",
    "for a private endpoint or an inspecting proxy, name its authority with the option 'ca_file'",
)
UNREADABLE_FILE = Refusal(
    SettingsError,
    "a file that Oracle's client was told to use does not exist or cannot be read",
    "check the option 'ca_file', REQUESTS_CA_BUNDLE, and key_file and security_token_file in the "
    "profile",
)
_UNREACHABLE = Refusal(
    UnavailableError,
    "cannot reach {endpoint}",
    "check the network, the proxy settings, the region and the option 'endpoint'",
)
_TOO_SLOW = Refusal(
    UnavailableError,
    "{endpoint} did not answer in time",
    "try again; the options 'connect_timeout', 'read_timeout' and 'deadline' set the limits",
)
_CUT_OFF = Refusal(
    UnavailableError,
    "the connection to {endpoint} was cut off",
    "try again; if it stays, look at the proxies between here and the vault",
)
_REDIRECTED = Refusal(
    ProviderError,
    "{endpoint} answered with a redirect, which is not followed",
    "look at the option 'endpoint', and at the proxies between here and the vault",
)
_BAD_CONFIGURATION = Refusal(
    SettingsError,
    "the profile of Oracle's configuration file cannot be used: a part is missing or malformed",
    "'oci setup config' makes one; for a profile with a security token set the option "
    "'credential' to security-token",
)
_BAD_KEY = Refusal(
    AuthenticationError,
    "the private key of the profile cannot be read, or its passphrase is missing or wrong",
    "check key_file in the profile, and the option 'passphrase'",
)

# More telling names first: an exception of the client holds others.
CLIENT_FAILURES: Mapping[str, Refusal] = {
    "ConfigFileNotFound": Refusal(
        SettingsError,
        "Oracle's configuration file was not found",
        "see the options 'config_file' and 'credential', and OCI_CONFIG_FILE; on a machine in "
        "the cloud the credential may be instance-principal or resource-principal",
    ),
    "ProfileNotFound": Refusal(
        SettingsError,
        "the profile is not in Oracle's configuration file",
        "see the options 'profile' and 'config_file'",
    ),
    "InvalidKeyFilePath": Refusal(
        SettingsError,
        "the private key's file that Oracle's configuration file names does not exist",
        "check key_file in the profile",
    ),
    "InvalidConfig": _BAD_CONFIGURATION,
    "MissingPrivateKeyPassphrase": _BAD_KEY,
    "InvalidPrivateKey": _BAD_KEY,
    "InvalidDeveloperToolConfiguration": Refusal(
        SettingsError,
        "the developer tool configuration of Oracle's client forbids the service",
        "check OCI_SDK_ENABLED_SERVICES_SET and the developer tool configuration",
    ),
    "TooManyRedirects": _REDIRECTED,
    "ConnectTimeoutError": _UNREACHABLE,
    "ReadTimeoutError": _TOO_SLOW,
    "NewConnectionError": _UNREACHABLE,
    "NameResolutionError": _UNREACHABLE,
    "ProxyError": _UNREACHABLE,
    "IncompleteRead": _CUT_OFF,
    "RemoteDisconnected": _CUT_OFF,
    "ConnectionResetError": _CUT_OFF,
    "BrokenPipeError": _CUT_OFF,
    "ChunkedEncodingError": _CUT_OFF,
    "ProtocolError": _CUT_OFF,
    "SSLError": _CUT_OFF,
    "DecodeError": _CUT_OFF,
    "Timeout": _TOO_SLOW,
    "ConnectionError": _UNREACHABLE,
    "RequestException": _UNREACHABLE,
    # What is left of these is about files; those of the network are named above.
    "OSError": UNREADABLE_FILE,
}


def refusal_of(exc: BaseException) -> Refusal | None:
    """Return the row for an exception, or None if it is in no table."""
    chain = list(chain_of(exc))
    if any(isinstance(link, ssl.SSLCertVerificationError) for link in chain):
        return _UNTRUSTED
    if any(isinstance(link, ssl.SSLError) and _is_about_a_file(link) for link in chain):
        return UNREADABLE_FILE
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    return next((row for name, row in CLIENT_FAILURES.items() if name in names), None)


def is_final(exc: BaseException) -> bool:
    """Tell whether the same attempt would fail in the same way."""
    row = refusal_of(exc)
    return row is not None and not row.kind.retryable


def _is_about_a_file(exc: ssl.SSLError) -> bool:
    # A file without any certificate, or with a damaged one, which has no reason.
    return exc.reason == "NO_CERTIFICATE_OR_CRL_FOUND" or exc.library == "X509"

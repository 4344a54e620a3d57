"""Translate what goes wrong before Cloud KMS is called: credentials, their files, their services.

The exceptions are told by the names of their classes, because importing this module must not
import the client. Source: google-auth, ``google.auth.exceptions``.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksm_storage.plugin import (
    AuthenticationError,
    KsmStorageError,
    PermissionDeniedError,
    SettingsError,
    UnavailableError,
    chain_of,
)

from .options import IMPERSONATION, Connection
from .refusal import Refusal

_UNREADABLE = Refusal(
    SettingsError,
    "the file of the Google credentials cannot be used",
    "it must be the JSON that Google writes, of the kind that the option 'credential' names; see "
    "'credentials_file' and GOOGLE_APPLICATION_CREDENTIALS",
)
_UNREACHABLE = Refusal(
    UnavailableError,
    "cannot reach the service that gives out the Google credentials",
    "check the network and the proxy settings",
)
_REFUSED = Refusal(
    AuthenticationError,
    "Google refused to renew the credentials",
    "they were revoked, have expired, or the account or its key was deleted; for your own: gcloud "
    "auth application-default login",
)
MAY_NOT_IMPERSONATE = Refusal(
    PermissionDeniedError,
    "the caller may not impersonate the service account, or there is no such account",
    "grant the caller roles/iam.serviceAccountTokenCreator on the account",
    permission="iam.serviceAccounts.getAccessToken",
)

# What the library lets through raw where a file of credentials has another form than Google's.
UNREADABLE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)

CREDENTIAL_FAILURES: Mapping[str, Refusal] = {
    "OutOfTimeError": Refusal(
        UnavailableError,
        "the Google credentials could not be had in time",
        "see the option 'credential_timeout'; the option 'credential' says where to look",
    ),
    "MalformedError": _UNREADABLE,
    "InvalidValue": _UNREADABLE,
    "InvalidResource": _UNREADABLE,
    "InvalidType": _UNREADABLE,
    "OSError": _UNREADABLE,
    "ValueError": _UNREADABLE,
    "LookupError": _UNREADABLE,
    "TypeError": _UNREADABLE,
    "AttributeError": _UNREADABLE,
    "DefaultCredentialsError": Refusal(
        AuthenticationError,
        "no usable Google credentials were found",
        "give a file with the option 'credentials_file' or GOOGLE_APPLICATION_CREDENTIALS, run on "
        "Google Cloud, or: gcloud auth application-default login",
    ),
    "ReauthFailError": Refusal(
        AuthenticationError,
        "Google asks the user to sign in again",
        "gcloud auth application-default login",
    ),
    "RefreshError": _REFUSED,
    "TransportError": _UNREACHABLE,
    "RequestException": _UNREACHABLE,
    "GoogleAuthError": Refusal(
        AuthenticationError,
        "the Google credentials cannot be used",
        "check the options 'credential' and 'credentials_file'",
    ),
}


def translated_credentials(exc: Exception, connection: Connection) -> KsmStorageError:
    """Return the documented error for credentials that could not be had."""
    _forget_documents(exc)
    return _refusal_of(exc, connection).error(key="")


def _refusal_of(exc: Exception, connection: Connection) -> Refusal:
    names = [kind.__name__ for kind in type(exc).__mro__]
    if "RefreshError" in names:
        if connection.credential == IMPERSONATION and _is_denied(exc):
            return MAY_NOT_IMPERSONATE
        if getattr(exc, "retryable", False) or _is_about_transport(exc):
            return _UNREACHABLE
    return next(CREDENTIAL_FAILURES[name] for name in names if name in CREDENTIAL_FAILURES)


def _forget_documents(exc: BaseException) -> None:
    # The parser and the decoder keep what they could not read: a file of credentials, private key
    # and all.
    for link in chain_of(exc):
        if hasattr(link, "doc"):
            link.doc = ""
        if isinstance(link, UnicodeDecodeError):
            link.object = b""
            link.args = (link.encoding, b"", 0, 0, link.reason)


def _is_denied(exc: Exception) -> bool:
    text = str(exc)
    return "PERMISSION_DENIED" in text or "NOT_FOUND" in text


def _is_about_transport(exc: BaseException) -> bool:
    chain = (exc.__cause__, exc.__context__)
    return any(type(link).__name__ == "TransportError" for link in chain)

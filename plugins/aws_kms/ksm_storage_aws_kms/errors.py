"""Translate what KMS, the credential services and the AWS client report, by one table each."""

from __future__ import annotations

import configparser
import re
import ssl
from typing import Any, NamedTuple

from ksm_storage.plugin import (
    AuthenticationError,
    KsmStorageError,
    SettingsError,
    UnavailableError,
    chain_of,
)

from .client_failures import (
    CLIENT_FAILURES,
    UNREADABLE_FILE,
    UNTRUSTED_CERTIFICATE,
    refusal_for_status,
)
from .refusal import Refusal
from .service_codes import CREDENTIALS_REFUSED, SERVICE_CODES

# What the AWS client lets through raw: a reply that is no JSON object, has the wrong types or a
# wrong encoding; a credential process that prints no JSON object; an endpoint that is no URL.
UNREADABLE: tuple[type[Exception], ...] = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)

_CODE = re.compile(r"[A-Za-z0-9.]{1,64}")
_KMS_OPERATIONS = ("Encrypt", "Decrypt", "DescribeKey", "GetKeyRotationStatus")
# All others are calls for credentials, which the AWS client makes before ours.
_OUR_OPERATIONS = (*_KMS_OPERATIONS, "GetCallerIdentity")


class Call(NamedTuple):
    """Say which call failed: the operation, the key as it was named, the region asked for."""

    operation: str
    key: str
    region: str | None


def translatable() -> tuple[type[Exception], ...]:
    """Return the exceptions that :func:`translated` knows."""
    from botocore.exceptions import BotoCoreError, ClientError

    return (ClientError, BotoCoreError, OSError)


def translated(exc: Exception, call: Call) -> KsmStorageError:
    """Return the documented error for an exception of the AWS client, none of its text copied."""
    from botocore.exceptions import ClientError, HTTPClientError

    if isinstance(exc, ClientError):
        return _from_reply(exc.response, exc.operation_name, call)
    if isinstance(exc, HTTPClientError):
        # It holds the request, which for Encrypt holds the DEK, and it becomes our __cause__.
        vars(exc).update(request=None)
    return _refusal_of(exc).error(key=call.key, region=call.region)


def repeats_a_file(exc: BaseException) -> bool:
    """Tell whether the exception shows what stands in a file: a line, or all of it."""
    return any(isinstance(link, (configparser.Error, UnicodeError)) for link in chain_of(exc))


def unreadable(name: str, call: Call) -> UnavailableError:
    """Return the error for a reply that the AWS client could not read."""
    return UnavailableError(
        f"the reply of KMS to {call.operation} cannot be read ({name}): it was cut off or altered "
        "on its way",
        hint="try again; if it stays, look at the proxies between here and KMS",
    )


def unreadable_credentials(name: str) -> AuthenticationError:
    """Return the error for credentials that the AWS client found and could not read."""
    return AuthenticationError(
        f"the AWS credentials that were found cannot be read ({name})",
        hint="look at what the profile's credential_process prints, and at the credentials file",
    )


def unusable_settings(exc: Exception, profile: str | None) -> SettingsError:
    """Return the error for a client that could not be made."""
    return SettingsError(
        f"the AWS client cannot be made from these settings ({type(exc).__name__})",
        hint="look at region, endpoint and the AWS configuration files"
        + (f", profile {profile!r}" if profile else ""),
    )


def _refusal_of(exc: Exception) -> Refusal:
    chain = list(chain_of(exc))
    if any(isinstance(link, ssl.SSLCertVerificationError) for link in chain):
        return UNTRUSTED_CERTIFICATE
    if any(_is_about_a_file(link) for link in chain):
        return UNREADABLE_FILE
    names = [kind.__name__ for kind in type(exc).__mro__]
    return next(CLIENT_FAILURES[name] for name in names if name in CLIENT_FAILURES)


def _is_about_a_file(exc: BaseException) -> bool:
    if isinstance(exc, ssl.SSLError):
        # A file without any certificate, or with a damaged one, which has no reason.
        return exc.reason == "NO_CERTIFICATE_OR_CRL_FOUND" or exc.library == "X509"
    return isinstance(exc, (FileNotFoundError, PermissionError, IsADirectoryError))


def _from_reply(reply: Any, operation: str, call: Call) -> KsmStorageError:
    code = str(reply.get("Error", {}).get("Code", ""))
    metadata = reply.get("ResponseMetadata", {})
    refusal = SERVICE_CODES.get(code.removesuffix("Exception"))
    if refusal is None:
        status = int(metadata.get("HTTPStatusCode", 0))
        shown = code if _CODE.fullmatch(code) else "an unknown code"
        refusal = refusal_for_status(status, shown)
    if operation not in _OUR_OPERATIONS and not refusal.is_retryable:
        refusal = CREDENTIALS_REFUSED if not refusal.about_permission else refusal
    permission = f"{_service(operation)}:{operation}" if refusal.about_permission else None
    request_id = metadata.get("RequestId")
    return refusal.error(
        key=call.key,
        region=call.region,
        permission=permission,
        request_id=request_id if isinstance(request_id, str) else None,
    )


def _service(operation: str) -> str:
    if operation in _KMS_OPERATIONS:
        return "kms"
    return "sso" if operation == "GetRoleCredentials" else "sts"

"""The credentials of a connection: found once, renewed when they run out, within a bound."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from .deadline import Deadline
from .options import IMPERSONATION, METADATA, SERVICE_ACCOUNT, Connection

# Those that the client asks for by itself. IAM Credentials and the exchange of foreign tokens do
# not take the second alone.
SCOPES = (
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/cloudkms",
)


class CallCredentials:
    """Give out the headers that say who asks; safe across threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._found: Any = None

    @property
    def identity(self) -> str | None:
        """The e-mail address of whom the credentials found speak for, where they say it."""
        with self._lock:
            found = self._found
        for name in ("service_account_email", "signer_email", "account"):
            address = getattr(found, name, None)
            # An instance calls its account "default" until it has asked.
            if isinstance(address, str) and "@" in address:
                return address
        return None

    def metadata(self, deadline: Deadline) -> Sequence[tuple[str, str]]:
        """Return the headers of one call; asks the network only when there is no valid token.

        Raises:
            GoogleAuthError: There are no credentials, or no token can be had in time.
            OSError, ValueError, LookupError, TypeError, AttributeError: A file cannot be read.
        """
        from .token_requests import BoundedRequest

        headers: dict[str, str] = {}
        within = deadline.within(self._connection.credential_timeout)
        request = BoundedRequest(within, ca_file=self._connection.ca_file)
        try:
            with self._lock:
                if self._found is None:
                    self._found = _found(self._connection, request)
                # Not before_request(): that starts a thread which asks IAM for the regions of
                # the account, beside each call and beyond any deadline.
                if not self._found.valid:
                    self._found.refresh(request)
                self._found.apply(headers)
        finally:
            request.close()
        # gRPC refuses names with capitals.
        return [(name.lower(), value) for name, value in headers.items()]


def _found(connection: Connection, request: Any) -> Any:
    if connection.credential != IMPERSONATION:
        return _with_quota_project(_own(connection, request), connection)
    from google.auth import impersonated_credentials

    account = connection.impersonated
    return impersonated_credentials.Credentials(
        source_credentials=_own(connection, request),
        target_principal=account,
        target_scopes=list(SCOPES),
        quota_project_id=connection.quota_project,
        iam_endpoint_override=f"{connection.iam_endpoint}/v1/projects/-/serviceAccounts/"
        f"{account}:generateAccessToken",
    )


def _own(connection: Connection, request: Any) -> Any:
    if connection.credential == METADATA:
        from google.auth import compute_engine

        return compute_engine.Credentials(scopes=list(SCOPES))
    if connection.credential == SERVICE_ACCOUNT:
        from google.oauth2 import service_account

        file = connection.credentials_file
        return _self_signing(service_account.Credentials.from_service_account_file(file))
    if connection.credentials_file is None:
        import google.auth

        return _self_signing(google.auth.default(request=request)[0])
    return _self_signing(_from_file(connection.credentials_file, request))


def _from_file(path: str, request: Any) -> Any:
    import warnings

    import google.auth

    # The function is deprecated for files of unknown origin; this one comes from the settings.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return google.auth.load_credentials_from_file(path, request=request)[0]


def _self_signing(found: Any) -> Any:
    from google.auth.credentials import with_scopes_if_required

    # A user's credentials have the scopes of the login, and asking for others would fail.
    found = with_scopes_if_required(found, list(SCOPES))
    # As the client does by itself: a service account signs its own token and asks nobody.
    # Source: Google AIP-4111, self-signed JWT.
    if hasattr(found, "with_always_use_jwt_access"):
        return found.with_always_use_jwt_access(True)
    return found


def _with_quota_project(found: Any, connection: Connection) -> Any:
    if connection.quota_project is None or not hasattr(found, "with_quota_project"):
        return found
    return found.with_quota_project(connection.quota_project)

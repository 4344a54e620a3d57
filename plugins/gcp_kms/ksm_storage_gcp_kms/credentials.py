"""The credentials of a connection: found once, renewed when they run out, within the deadline."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import closing
from subprocess import PIPE, STDOUT, CompletedProcess
from types import FunctionType, SimpleNamespace
from typing import Any

import requests
from google.auth import transport
from google.auth.transport.requests import Request

from ksm_storage import plugin as kit

from .credential_files import VARIABLE, gcloud_file, validate_file
from .hooks import IMPERSONATION, METADATA, SCOPES, SERVICE_ACCOUNT, Access


class CallCredentials:
    """Give out the headers that identify the caller; safe across threads."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._found: Any = None

    @property
    def identity(self) -> str | None:
        """The e-mail address that the credentials speak for, where they say it."""
        for name in ("service_account_email", "signer_email", "account"):
            address = getattr(self._found, name, None)
            # An instance calls its account "default" until it has asked.
            if isinstance(address, str) and "@" in address:
                return address
        return None

    def headers(self) -> Sequence[tuple[str, str]]:
        """Return the headers of one call; uses the network only when there is no valid token.

        Raises:
            Exception: Whatever the credentials library raises: its own errors, those of files and
                of the network, and those of a parser.
        """
        headers: dict[str, str] = {}
        request = BoundedRequest(ca_file=self._access.connection.ca_file)
        with kit.lock_held(self._lock), closing(request.session):
            if self._found is None:
                self._found = _found(self._access, request)
            # Not before_request(): that starts a thread which asks IAM for the regions of
            # the account, beside each call and beyond any deadline.
            if not self._found.valid:
                self._found.refresh(request)
            self._found.apply(headers)
        # gRPC refuses names with capitals.
        return [(name.lower(), value) for name, value in headers.items()]


class BoundedRequest(transport.Request):  # type: ignore[misc]  # the class is untyped
    """Send the requests for credentials; each one's time-out is shortened to fit the deadline."""

    def __init__(self, *, ca_file: str | None) -> None:
        self._ca_file = ca_file
        self.session = requests.Session()
        # It has a rule of its own for proxies, and reads passwords from ~/.netrc.
        self.session.trust_env = False
        self._request = Request(session=self.session)

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Any = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Send one request.

        Raises:
            DeadlinePassedError: The deadline has passed. Not a ``TransportError``: the
                credentials library repeats those after a pause.
        """
        left = kit.seconds_left()
        kwargs["proxies"] = kit.proxies_for(url)
        if self._ca_file is not None:
            kwargs.setdefault("verify", self._ca_file)
        seconds = left if timeout is None else min(timeout, left)
        return self._request(
            url=url, method=method, body=body, headers=headers, timeout=seconds, **kwargs
        )


def _found(access: Access, request: Any) -> Any:
    if access.credential != IMPERSONATION:
        return _with_quota_project(_own(access, request), access)
    from google.auth import impersonated_credentials

    account = access.impersonated
    return impersonated_credentials.Credentials(
        source_credentials=_own(access, request),
        target_principal=account,
        target_scopes=list(SCOPES),
        quota_project_id=access.quota_project,
        iam_endpoint_override=f"{access.iam_endpoint}/v1/projects/-/serviceAccounts/"
        f"{account}:generateAccessToken",
    )


def _own(access: Access, request: Any) -> Any:
    if access.credential == METADATA:
        from google.auth import compute_engine

        return compute_engine.Credentials(scopes=list(SCOPES))
    validate_file(access.credentials_file or os.environ.get(VARIABLE) or gcloud_file())
    if access.credential == SERVICE_ACCOUNT:
        from google.oauth2 import service_account

        file = access.credentials_file
        return _self_signing(service_account.Credentials.from_service_account_file(file))
    import google.auth

    if access.credentials_file is None:
        return _self_signing(google.auth.default(request=request)[0])
    import warnings

    # The function is deprecated for files of unknown origin; this one comes from the settings.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = google.auth.load_credentials_from_file(access.credentials_file, request=request)
    return _self_signing(found[0])


def _self_signing(found: Any) -> Any:
    from google.auth.credentials import with_scopes_if_required

    _keep_stdin_from_executable(found)
    # A user's credentials have the scopes of the login, and asking for others would fail.
    found = with_scopes_if_required(found, list(SCOPES))
    # As the client does by itself: a service account signs its own token and asks nobody.
    # Source: Google AIP-4111, self-signed JWT.
    if hasattr(found, "with_always_use_jwt_access"):
        return found.with_always_use_jwt_access(True)
    return found


def _keep_stdin_from_executable(found: Any) -> None:
    import sys

    # Loaded by the client for a credentials file with an executable, and for nothing else.
    pluggable = sys.modules.get("google.auth.pluggable")
    if pluggable is None or type(found) is not pluggable.Credentials:
        return
    # The client lets the executable inherit our standard input, where a secret may be piped in,
    # and offers no way to give it another. So its method runs with our way to start a helper;
    # the module that other code in this process uses stays as it is.
    method = FunctionType(
        pluggable.Credentials.retrieve_subject_token.__code__,
        {**vars(pluggable), "subprocess": SimpleNamespace(run=_run, PIPE=PIPE, STDOUT=STDOUT)},
    )
    # A class and not a method of the instance: what the client copies has the same class.
    found.__class__ = type(
        "Credentials", (pluggable.Credentials,), {"retrieve_subject_token": method}
    )


def _run(command: Sequence[str], *, timeout: float, env: Any, **_: Any) -> CompletedProcess[bytes]:
    try:
        helper = kit.start_helper(command, stdout=PIPE, stderr=STDOUT, env=env)
    except kit.HelperNotFoundError:
        raise FileNotFoundError from None
    output, _ = helper.communicate(timeout=timeout)
    return CompletedProcess(command, helper.returncode, output)


def _with_quota_project(found: Any, access: Access) -> Any:
    if access.quota_project is None or not hasattr(found, "with_quota_project"):
        return found
    return found.with_quota_project(access.quota_project)

"""The HTTP requests that obtain credentials: bounded in time, and with the chosen authorities."""

from __future__ import annotations

from typing import Any

import requests
from google.auth import transport
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

from .deadline import Deadline


class OutOfTimeError(GoogleAuthError):  # type: ignore[misc]  # the class is untyped
    """Report that the time for credentials is used up.

    Not a ``TransportError``: the credentials library repeats those after a pause.
    """


class BoundedRequest(transport.Request):  # type: ignore[misc]  # the class is untyped
    """Send requests until a deadline; each one's time-out is shortened to fit."""

    def __init__(self, deadline: Deadline, *, ca_file: str | None) -> None:
        self._deadline = deadline
        self._ca_file = ca_file
        self.session = requests.Session()
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
            OutOfTimeError: The deadline has passed.
        """
        left = self._deadline.remaining
        if left <= 0:
            raise OutOfTimeError("no time left to obtain credentials")
        # As the session's "verify" it would lose to REQUESTS_CA_BUNDLE in the environment.
        if self._ca_file is not None:
            kwargs.setdefault("verify", self._ca_file)
        seconds = left if timeout is None else min(timeout, left)
        return self._request(
            url=url, method=method, body=body, headers=headers, timeout=seconds, **kwargs
        )

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

"""The exceptions of the official package: its own classes if installed, else classes of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING


class _KeeperError(Exception):
    """Report that the Keeper server or the client refused."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class _KeeperAccessDenied(Exception):  # noqa: N818 - the official name
    """Never raised, neither here nor by the official package; some programs catch it."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class _KeeperThrottleError(_KeeperError):
    """Report that the server still throttles after all retries."""


def _named(kind: type[Exception]) -> type[Exception]:
    kind.__name__ = kind.__qualname__ = kind.__name__.removeprefix("_")
    return kind


if TYPE_CHECKING:
    KeeperError = _KeeperError
    KeeperAccessDenied = _KeeperAccessDenied
    KeeperThrottleError = _KeeperThrottleError
else:
    try:
        from keeper_secrets_manager_core.exceptions import (
            KeeperAccessDenied,
            KeeperError,
            KeeperThrottleError,
        )
    # Not ImportError alone: a broken installation must not hide the error that is being raised.
    except Exception:  # noqa: BLE001 - see above
        KeeperError = _named(_KeeperError)
        KeeperAccessDenied = _named(_KeeperAccessDenied)
        KeeperThrottleError = _named(_KeeperThrottleError)
try:
    from requests.exceptions import ConnectionError as RequestsConnectionError
    from requests.exceptions import HTTPError
except Exception:  # noqa: BLE001 - as above
    # What those classes of requests inherit from.
    HTTPError = RequestsConnectionError = OSError  # type: ignore[misc, assignment]

__all__ = [
    "HTTPError",
    "KeeperAccessDenied",
    "KeeperError",
    "KeeperThrottleError",
    "RequestsConnectionError",
]

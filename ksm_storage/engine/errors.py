"""What the engine raises when the Keeper server refuses, is unreachable or answers nonsense.

::

    VaultError                        exit code 8
    |-- ServerRefusedError            the server refused; ``code`` says why; a KeeperError
    |   |-- ClientUnknownError        no such client device: wrong region, or removed
    |   |-- ClientRevokedError        the client device was revoked
    |   |-- TokenExpiredError         the one-time token was not redeemed in time
    |   |-- TokenRedeemedError        another key pair has redeemed the one-time token
    |   |-- AccessExpiredError        the access of the client device has expired
    |   |-- AddressLockedError        the client device is locked to another address
    |   |-- BadSignatureError         the key pair is not the registered one
    |   |-- ClientVersionError        the server does not support this protocol version
    |   |-- StaleRevisionError        the record was changed since it was read
    |   |-- DeletionRefusedError      some of the objects were not deleted
    |   |-- UnexpectedStatusError     an HTTP error that is not of the protocol; an HTTPError
    |   `-- ServerThrottledError      retryable: too many requests; a KeeperThrottleError
    |-- ServerUnreachableError        retryable: network or time-out; a ConnectionError of requests
    |   `-- ServerFailedError         retryable: HTTP status 5xx; a KeeperError and an HTTPError
    `-- ServerAnswerError             the answer is not of the protocol; a KeeperError

    SettingsError                     exit code 2
    |-- ClientSettingsError           the configuration, the token or an argument; a ValueError
    |-- NotationError                 not valid Keeper notation; a ValueError
    `-- SecretNotFoundError           no such record, field, file or value; a ValueError

``KeeperError`` is the official package's class where it is installed, and ``HTTPError`` and
``ConnectionError`` are those of ``requests``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ..errors import SettingsError, VaultError
from .exceptions import HTTPError, KeeperError, KeeperThrottleError, RequestsConnectionError


class ServerRefusedError(VaultError, KeeperError):
    """Report that the server refused a request for a reason that no subclass names.

    Attributes:
        code: A stable word for the reason.
        status: The HTTP status of the answer.
        server_code: The server's own code, if it has the form of one.
        server_message: The server's own text, printable and cut to a reasonable length.
    """

    code: ClassVar[str] = "refused"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        operation: str | None = None,
        status: int | None = None,
        server_code: str | None = None,
        server_message: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, operation=operation)
        self.status = status
        self.server_code = server_code
        self.server_message = server_message

    def as_dict(self) -> dict[str, object]:
        """Return the error as plain data, its code included."""
        return {**super().as_dict(), "code": self.code}


class ClientUnknownError(ServerRefusedError):
    """Report that the server does not know the client device."""

    code = "client_unknown"


class ClientRevokedError(ServerRefusedError):
    """Report that the client device was revoked."""

    code = "client_revoked"


class TokenExpiredError(ServerRefusedError):
    """Report that the one-time token was not redeemed in time."""

    code = "token_expired"


class TokenRedeemedError(ServerRefusedError):
    """Report that another key pair has redeemed the one-time token."""

    code = "token_redeemed"


class AccessExpiredError(ServerRefusedError):
    """Report that the access of the client device has expired."""

    code = "access_expired"


class AddressLockedError(ServerRefusedError):
    """Report that the client device is locked to another address than the caller's."""

    code = "address_locked"


class BadSignatureError(ServerRefusedError):
    """Report that the server rejected the signature of the stored key pair."""

    code = "bad_signature"


class ClientVersionError(ServerRefusedError):
    """Report that the server does not support this protocol version."""

    code = "client_version"


class StaleRevisionError(ServerRefusedError):
    """Report that the record was changed since it was read."""

    code = "stale_revision"


class DeletionRefusedError(ServerRefusedError):
    """Report that the server deleted some of the objects, or none.

    Attributes:
        results: What the server answered for each object.
    """

    code = "deletion_refused"
    results: list[dict[str, Any]]


class UnexpectedStatusError(ServerRefusedError, HTTPError):
    """Report an HTTP error that is not of the protocol, such as a proxy's."""

    code = "unexpected_status"


class ServerThrottledError(ServerRefusedError, KeeperThrottleError):
    """Report that the server still throttles after all retries; retry later."""

    code = "throttled"
    retryable = True


class ServerUnreachableError(VaultError, RequestsConnectionError):
    """Report that the server cannot be reached: network or time-out; retry later."""

    retryable = True


class ServerFailedError(ServerUnreachableError, HTTPError, KeeperError):
    """Report that the server failed with an HTTP status of 500 or above; retry later."""


class ServerAnswerError(VaultError, KeeperError):
    """Report an answer that is not of the protocol or cannot be decrypted."""


class ClientSettingsError(SettingsError, KeeperError, ValueError):
    """Report a configuration, one-time token or argument that is missing or invalid."""


class NotationError(SettingsError, ValueError):
    """Report a text that is not valid Keeper notation."""


class SecretNotFoundError(SettingsError, KeeperError, ValueError):
    """Report that a record, field, file or value was not found, or was found more than once."""


__all__ = [
    "AccessExpiredError",
    "AddressLockedError",
    "BadSignatureError",
    "ClientRevokedError",
    "ClientSettingsError",
    "ClientUnknownError",
    "ClientVersionError",
    "DeletionRefusedError",
    "NotationError",
    "SecretNotFoundError",
    "ServerAnswerError",
    "ServerFailedError",
    "ServerRefusedError",
    "ServerThrottledError",
    "ServerUnreachableError",
    "StaleRevisionError",
    "TokenExpiredError",
    "TokenRedeemedError",
    "UnexpectedStatusError",
]

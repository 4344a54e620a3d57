"""What the engine raises when Keeper's server refuses, is out of reach or makes no sense.

::

    VaultError                        exit code 8
    |-- ServerRefusedError            the server said no; ``code`` says which no
    |   |-- ClientUnknownError        no such client device: wrong region, or removed
    |   |-- ClientRevokedError        the client device was revoked
    |   |-- TokenExpiredError         the one-time token was not redeemed in time
    |   |-- TokenRedeemedError        another key pair has redeemed the one-time token
    |   |-- AccessExpiredError        the client device's access has ended
    |   |-- AddressLockedError        the client device is locked to another address
    |   |-- BadSignatureError         the key pair is not the registered one
    |   |-- ClientVersionError        the server does not speak with this protocol version
    |   |-- StaleRevisionError        the record was changed since it was read
    |   `-- ServerThrottledError      retryable: too many requests
    |-- ServerUnreachableError        retryable: network, time-out or 5xx
    `-- ServerAnswerError             the answer is not of the protocol

    SettingsError, ValueError         exit code 2
    |-- NotationError                 the notation is not one
    `-- SecretNotFoundError           no such record, field, file or value
"""

from __future__ import annotations

from typing import ClassVar

from ..errors import SettingsError, VaultError


class ServerRefusedError(VaultError):
    """Report that the server refused a request for a reason that no subclass names.

    Attributes:
        code: A stable word for the reason.
        status: The HTTP status of the answer.
        server_code: The server's own code, if it has the form of one.
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
    ) -> None:
        super().__init__(message, hint=hint, operation=operation)
        self.status = status
        self.server_code = server_code

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
    """Report that the access of the client device has ended."""

    code = "access_expired"


class AddressLockedError(ServerRefusedError):
    """Report that the client device is locked to another address than the caller's."""

    code = "address_locked"


class BadSignatureError(ServerRefusedError):
    """Report that the server does not accept the signature of the stored key pair."""

    code = "bad_signature"


class ClientVersionError(ServerRefusedError):
    """Report that the server does not speak with this version of the protocol."""

    code = "client_version"


class StaleRevisionError(ServerRefusedError):
    """Report that the record was changed since it was read."""

    code = "stale_revision"


class ServerThrottledError(ServerRefusedError):
    """Report that the server kept asking for patience; the call may be repeated later."""

    code = "throttled"
    retryable = True


class ServerUnreachableError(VaultError):
    """Report a server out of reach: network, time-out or 5xx; the call may be repeated."""

    retryable = True


class ServerAnswerError(VaultError):
    """Report an answer that is not of the protocol or does not open."""


# The official package raises ValueError for these two, and callers catch it.
class NotationError(SettingsError, ValueError):
    """Report a text that is not Keeper notation."""


class SecretNotFoundError(SettingsError, ValueError):
    """Report that a record, field, file or value is not there, or is there more than once."""

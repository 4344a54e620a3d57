"""Every exception that ksm-storage raises on purpose.

::

    KsmStorageError                exit code
    |-- SettingsError              2   a setting is missing or unusable
    |-- PluginError                3   no usable plugin for the provider
    |   |-- PluginNotFoundError          none is installed
    |   |-- PluginConflictError          two distributions offer the same name
    |   |-- PluginLoadError              it is installed and cannot be used
    |   `-- PluginContractError          it broke the contract with the core
    |-- ProviderError              4   the key service refused or failed
    |   |-- AuthenticationError          it does not know who asks
    |   |-- PermissionDeniedError        it knows, and says no
    |   |-- KeyNotFoundError             there is no such KEK
    |   |-- KeyStateError                the KEK is disabled, pending deletion, of the wrong kind
    |   |-- ThrottledError         5     too many requests; retryable
    |   `-- UnavailableError       5     network, time-out or 5xx; retryable
    |-- EnvelopeError              6   not an envelope, damaged, or of an unknown version
    |   `-- RollbackError                older than what was seen before
    |-- DecryptionError            6   wrong KEK, wrong context, or altered data
    |-- StorageError               7   the file could not be read, locked or written
    `-- VaultError                 8   the Keeper server refused

A class exists where a caller would act differently, and nowhere else.
"""

from __future__ import annotations

from typing import ClassVar


class KsmStorageError(Exception):
    """Report a failure of ksm-storage, with advice on what to do about it.

    Attributes:
        message: One lower-case clause without a full stop. Never holds key material.
        hint: What to do about it, or None.
        provider: The key service's name, or None where none is concerned.
        key: The KEK concerned, or None.
        operation: What was attempted (``wrap``, ``unwrap``, ...), or None.
        permission: The permission that is missing, where the service tells or it is certain.
        request_id: The key service's own name of the failed request.
        retryable: Whether the same call may succeed later without any change.
        causes: Where several recipients were tried, the error of each; else empty.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        provider: str | None = None,
        key: str | None = None,
        operation: str | None = None,
        permission: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.provider = provider
        self.key = key
        self.operation = operation
        self.permission = permission
        self.request_id = request_id
        self.causes: tuple[KsmStorageError, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the error as plain data, the absent parts left out."""
        parts: dict[str, object | None] = {
            "error": type(self).__name__,
            "message": self.message,
            "hint": self.hint,
            "provider": self.provider,
            "key": self.key,
            "operation": self.operation,
            "permission": self.permission,
            "request_id": self.request_id,
            "retryable": self.retryable,
            "exit_code": self.exit_code,
            "causes": [cause.as_dict() for cause in self.causes] or None,
        }
        return {name: value for name, value in parts.items() if value is not None}


class SettingsError(KsmStorageError):
    """Report a setting that is missing, unknown or unusable."""

    exit_code = 2


class PluginError(KsmStorageError):
    """Report that no usable plugin serves the provider."""

    exit_code = 3


class PluginNotFoundError(PluginError):
    """Report that no installed distribution offers the provider."""


class PluginConflictError(PluginError):
    """Report that two distributions offer the same provider name."""


class PluginLoadError(PluginError):
    """Report a plugin that is installed and cannot be imported or registered."""


class PluginContractError(PluginError):
    """Report a plugin that broke its contract: wrong type, wrong length, undocumented exception."""


class ProviderError(KsmStorageError):
    """Report that the key service refused or failed in a way that no subclass names."""

    exit_code = 4


class AuthenticationError(ProviderError):
    """Report that the key service does not accept the caller's credentials."""


class PermissionDeniedError(ProviderError):
    """Report that the caller may not use the KEK."""


class KeyNotFoundError(ProviderError):
    """Report that the KEK does not exist where it was looked for."""


class KeyStateError(ProviderError):
    """Report a KEK that is disabled, pending deletion, destroyed or of the wrong kind."""


class ThrottledError(ProviderError):
    """Report that the key service asks for fewer requests; the call may be repeated later."""

    exit_code = 5
    retryable = True


class UnavailableError(ProviderError):
    """Report a key service out of reach: network, time-out or 5xx; may be repeated later."""

    exit_code = 5
    retryable = True


class EnvelopeError(KsmStorageError):
    """Report bytes that are no envelope, or a damaged one, or one of an unknown version."""

    exit_code = 6


class RollbackError(EnvelopeError):
    """Report an envelope that is whole, and older than a revision of it that was seen before."""


class DecryptionError(KsmStorageError):
    """Report a wrong KEK, a wrong context or altered data; which of them is not told apart."""

    exit_code = 6


class StorageError(KsmStorageError):
    """Report a file that could not be read, locked or written; the old content stands."""

    exit_code = 7


class VaultError(KsmStorageError):
    """Report that the Keeper server refused a request."""

    exit_code = 8

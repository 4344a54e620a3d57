"""Every exception that ksm-storage raises deliberately.

::

    KsmStorageError                exit code
    |-- SettingsError              2   a setting is missing or invalid
    |-- PluginError                3   no usable plugin for the provider
    |   |-- PluginNotFoundError          none is installed
    |   |-- PluginConflictError          two distributions offer the same name
    |   |-- PluginLoadError              it is installed but does not load
    |   `-- PluginContractError          it violated the plugin contract
    |-- ProviderError              4   the key service rejected the call or failed
    |   |-- AuthenticationError          credentials missing, expired or rejected
    |   |-- PermissionDeniedError        the caller may not use the key
    |   |-- KeyNotFoundError             the key was not found
    |   |-- KeyStateError                disabled, pending deletion or of the wrong type
    |   |-- ThrottledError         5     throttled; retryable
    |   `-- UnavailableError       5     network, timeout or 5xx; retryable
    |-- EnvelopeError              6   not an envelope, damaged, or of an unknown version
    |   `-- ContinuityError              not the successor of the file opened before
    |-- DecryptionError            6   wrong key, wrong context or altered data
    |-- StorageError               7   the file cannot be read, locked or written
    `-- VaultError                 8   the Keeper server rejected the request

Each class stands for a different reaction of the caller.
"""

from __future__ import annotations

from typing import ClassVar


class KsmStorageError(Exception):
    """Report a failure of ksm-storage. Base class; never raised directly.

    Attributes:
        message: One lower-case clause without a full stop. Never contains key material.
        hint: The next step, or None.
        provider: The key service, such as ``aws-kms``, or None.
        key: The URI of the KEK concerned, or None.
        path: The file concerned, if the command line knows it, or None.
        operation: The attempted operation (``wrap``, ``unwrap``, ...), or None.
        permission: The missing permission, if it is known for certain.
        request_id: The key service's identifier of the failed request.
        retryable: Whether the same call may succeed later, unchanged.
        causes: If several recipients were tried, the error of each; otherwise empty.
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
        if hint is not None:
            self.add_note(f"hint: {hint}")
        self.path: str | None = None
        self.provider = provider
        self.key = key
        self.operation = operation
        self.permission = permission
        self.request_id = request_id
        self.causes: tuple[KsmStorageError, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the error as plain data, without the attributes that are None."""
        parts: dict[str, object | None] = {
            "error": type(self).__name__,
            "message": self.message,
            "hint": self.hint,
            "path": self.path,
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
    """Report a setting that is missing, unknown or invalid."""

    exit_code = 2


class PluginError(KsmStorageError):
    """Report that no plugin can serve the provider. Base class; never raised directly."""

    exit_code = 3


class PluginNotFoundError(PluginError):
    """Report that no installed distribution provides the plugin."""


class PluginConflictError(PluginError):
    """Report that two installed distributions provide the same plugin."""


class PluginLoadError(PluginError):
    """Report an installed plugin that cannot be imported or registered."""


class PluginContractError(PluginError):
    """Report a plugin that returned an invalid value or raised an undocumented exception."""


class ProviderError(KsmStorageError):
    """Report a failure of the key service that no subclass describes."""

    exit_code = 4


class AuthenticationError(ProviderError):
    """Report credentials that are missing, expired or rejected."""


class PermissionDeniedError(ProviderError):
    """Report that the caller lacks a permission on the KEK."""


class KeyNotFoundError(ProviderError):
    """Report that the KEK was not found."""


class KeyStateError(ProviderError):
    """Report a KEK that is disabled, pending deletion, destroyed or of the wrong type."""


class ThrottledError(ProviderError):
    """Report that the key service throttled the request; retry later."""

    exit_code = 5
    retryable = True


class UnavailableError(ProviderError):
    """Report a key service that cannot be reached or failed internally; retry later."""

    exit_code = 5
    retryable = True


class EnvelopeError(KsmStorageError):
    """Report a file that is not an envelope, is damaged, or has an unknown version."""

    exit_code = 6


class ContinuityError(EnvelopeError):
    """Report a valid envelope that may not take the place of the one that was there before."""


class DecryptionError(KsmStorageError):
    """Report a wrong KEK, a wrong context or altered data, without saying which."""

    exit_code = 6


class StorageError(KsmStorageError):
    """Report a file that cannot be read, locked or written; its old content is intact."""

    exit_code = 7


class VaultError(KsmStorageError):
    """Report that the Keeper server rejected a request."""

    exit_code = 8

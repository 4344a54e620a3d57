"""One row of an error table: the class, the words and the advice."""

from __future__ import annotations

from typing import NamedTuple

from ksm_storage.plugin import KsmStorageError


class Refusal(NamedTuple):
    """Hold how one kind of failure is told.

    Attributes:
        kind: The class of the error.
        message: The words; ``{key}``, ``{host}`` and ``{operation}`` stand for the call's.
        hint: The advice, with the same words and ``{permission}``.
        about_permission: Whether a permission is missing (or may be).
    """

    kind: type[KsmStorageError]
    message: str
    hint: str | None = None
    about_permission: bool = False

    def error(
        self,
        *,
        key: str,
        host: str,
        operation: str,
        permission: str,
        request_id: str | None = None,
    ) -> KsmStorageError:
        """Return the error for one failed call."""
        words = {
            "key": repr(key),
            "host": repr(host),
            "operation": operation,
            "permission": permission,
        }
        return self.kind(
            self.message.format(**words),
            hint=self.hint.format(**words) if self.hint else None,
            permission=permission if self.about_permission else None,
            request_id=request_id,
        )

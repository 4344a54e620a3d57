"""One row of an error table: the class, the words and the advice."""

from __future__ import annotations

from typing import NamedTuple

from ksm_storage.plugin import KsmStorageError


class Call(NamedTuple):
    """Say which call failed: the operation, the key, the permission it needs, the endpoint."""

    operation: str
    key: str
    permission: str
    endpoint: str


class Refusal(NamedTuple):
    """Hold how one kind of failure is told.

    Attributes:
        kind: The class of the error.
        message: The words; ``{key}``, ``{endpoint}`` and ``{permission}`` stand for the call's.
        hint: The advice, with the same words.
        about_permission: Whether a permission is missing (or may be).
    """

    kind: type[KsmStorageError]
    message: str
    hint: str | None = None
    about_permission: bool = False

    def error(self, call: Call, *, request_id: str | None = None) -> KsmStorageError:
        """Return the error for one failed call."""
        words = {
            "key": repr(call.key),
            "endpoint": repr(call.endpoint),
            "permission": call.permission,
        }
        return self.kind(
            self.message.format(**words),
            hint=self.hint.format(**words) if self.hint else None,
            permission=call.permission if self.about_permission else None,
            request_id=request_id,
        )

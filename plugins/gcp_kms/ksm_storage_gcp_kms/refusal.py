"""One row of an error table: the class, the words and the advice."""

from __future__ import annotations

from typing import NamedTuple

from ksm_storage.plugin import KsmStorageError


class Refusal(NamedTuple):
    """Hold how one kind of failure is told.

    Attributes:
        kind: The class of the error.
        message: The words; ``{key}`` stands for the key.
        hint: The advice, with the same word.
        permission: The permission that is missing for certain, whatever was called.
        about_permission: Whether the permission of the call is missing (or may be).
    """

    kind: type[KsmStorageError]
    message: str
    hint: str | None = None
    permission: str | None = None
    about_permission: bool = False

    def error(
        self, *, key: str, permission: str | None = None, request_id: str | None = None
    ) -> KsmStorageError:
        """Return the error for one failed call; the permission counts where a row is about it."""
        return self.kind(
            self.message.format(key=repr(key)),
            hint=self.hint.format(key=repr(key)) if self.hint else None,
            permission=permission if self.about_permission else self.permission,
            request_id=request_id,
        )

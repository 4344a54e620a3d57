"""One row of an error table: the class, the words and the advice."""

from __future__ import annotations

from typing import NamedTuple

from ksm_storage.plugin import KsmStorageError


class Refusal(NamedTuple):
    """Hold how one kind of failure is told.

    Attributes:
        kind: The class of the error.
        message: The words; ``{key}`` and ``{place}`` stand for the key and the region.
        hint: The advice, with the same two words.
        about_permission: Whether a permission is missing (or may be).
    """

    kind: type[KsmStorageError]
    message: str
    hint: str | None = None
    about_permission: bool = False

    @property
    def is_retryable(self) -> bool:
        """Tell whether the same call may succeed later."""
        return self.kind.retryable

    def error(
        self,
        *,
        key: str,
        region: str | None,
        permission: str | None = None,
        request_id: str | None = None,
    ) -> KsmStorageError:
        """Return the error for one failed call."""
        place = f"the region {region!r}" if region else "the region of your AWS configuration"
        return self.kind(
            self.message.format(key=repr(key), place=place),
            hint=self.hint.format(key=repr(key), place=place) if self.hint else None,
            permission=permission,
            request_id=request_id,
        )

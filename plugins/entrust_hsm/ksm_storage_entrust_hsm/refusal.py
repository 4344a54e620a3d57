"""One row of the error table: the class, the words and the advice."""

from __future__ import annotations

from typing import NamedTuple

from ksm_storage.plugin import KsmStorageError


class Refusal(NamedTuple):
    """Hold how one return value is told.

    Attributes:
        code: The name of the return value, without ``CKR_``.
        kind: The class of the error.
        message: The words.
        hint: The advice.
    """

    code: str
    kind: type[KsmStorageError]
    message: str
    hint: str | None = None

    def error(self) -> KsmStorageError:
        """Return the error for one failed call; the seam adds the name of the key."""
        return self.kind(f"{self.message} (CKR_{self.code})", hint=self.hint)

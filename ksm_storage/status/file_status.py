"""What is known of one sealed file and of each of its recipients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ..contract.abilities import KeyDescription, is_public_key_algorithm
from ..envelope.codec import format_time
from ..envelope.model import Recipient
from ..errors import KsmStorageError


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """Hold what is known of a recipient.

    Attributes:
        recipient: As the header has it.
        key: What the provider says of the KEK; None where it was not asked or did not answer.
        version: The version or key material that wrapped the DEK, where it can be told.
        problem: Why ``key`` or ``version`` is not known, where somebody was asked.
    """

    recipient: Recipient
    key: KeyDescription | None = None
    version: str | None = None
    problem: KsmStorageError | None = None

    @property
    def state(self) -> str:
        """The state of the KEK, ``unknown`` where nobody told."""
        return "unknown" if self.key is None else self.key.state

    @property
    def is_current(self) -> bool | None:
        """Whether the DEK is wrapped under the KEK's current version; None if nobody can tell."""
        if self.key is None or self.version is None or self.key.current_version is None:
            return None
        return self.version == self.key.current_version

    @property
    def is_public(self) -> bool:
        """Whether anyone who has a public key can make a whole envelope that this KEK opens."""
        told = self.key is not None and self.key.public
        return told or is_public_key_algorithm(self.recipient.algorithm)

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        key = self.key
        return {
            "key": str(self.recipient.key),
            "algorithm": self.recipient.algorithm,
            "state": self.state,
            "state_name": key and key.state_name,
            "deletion": format_time(key.deletion) if key and key.deletion else None,
            "protection": key and key.protection,
            "rotation": key and key.rotation,
            "version": self.version,
            "current_version": key and key.current_version,
            "is_current": self.is_current,
            "public": self.is_public,
            "problem": self.problem.as_dict() if self.problem else None,
        }


@dataclass(frozen=True, slots=True)
class FileStatus:
    """Hold what is known of a sealed file; of its header nothing is verified.

    Attributes:
        path: As it was given.
        mode: The file's permission bits.
        created: When the DEK was made.
        sealed: When the payload was last sealed.
    """

    path: str
    mode: int
    envelope_id: bytes
    created: datetime
    sealed: datetime
    revision: int
    context: Mapping[str, str]
    recipients: tuple[RecipientStatus, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return {
            "path": self.path,
            "mode": f"{self.mode:04o}",
            "envelope_id": self.envelope_id.hex(),
            "created": format_time(self.created),
            "sealed": format_time(self.sealed),
            "revision": self.revision,
            "context": dict(self.context),
            "recipients": [recipient.as_dict() for recipient in self.recipients],
        }

"""What is done about an envelope of which a newer revision was seen before."""

from __future__ import annotations

import logging
import os
from typing import NamedTuple

from ..envelope.model import Header
from ..errors import RollbackError, SettingsError, StorageError
from ..keys.setting_sources import file_table
from .seen_revisions import SeenRevisions

POLICY_VARIABLE = "KSM_STORAGE_ROLLBACK"
SEEN_VARIABLE = "KSM_STORAGE_SEEN"
TABLE = "rollback"

OFF, WARN, REFUSE = "off", "warn", "refuse"

_OPTIONS = {"policy", "seen"}


class RollbackPolicy(NamedTuple):
    """Hold what the user chose.

    Attributes:
        action: ``off``, ``warn`` or ``refuse``.
        memory: Where revisions are remembered beyond the life of a process, None for nowhere.
    """

    action: str = REFUSE
    memory: SeenRevisions | None = None

    def check(self, header: Header, *, newest: int, path: str | None) -> None:
        """Act if a header is older than what was seen; it need not be authenticated yet.

        Args:
            header: The header.
            newest: The newest revision of the same envelope that this process has seen, or 0.
            path: The file, for messages.

        Raises:
            RollbackError: It is older, and the policy is to refuse.
            StorageError: The memory cannot be read, and the policy is to refuse.
        """
        if self.action == OFF:
            return
        newest = max(newest, self._remembered(header))
        if header.revision < newest:
            self._act(self._rolled_back(header, newest, path))

    def opened(self, header: Header) -> None:
        """Remember a revision whose header MAC was checked: a forged one would lock out the true.

        Raises:
            StorageError: The memory cannot be written, and the policy is to refuse.
        """
        if self.action == OFF or self.memory is None:
            return
        try:
            if header.revision > self.memory.newest(header.envelope_id):
                self.memory.remember(header.envelope_id, header.revision)
        except StorageError as exc:
            self._act(exc)

    def saved(self, header: Header) -> None:
        """Remember a revision that is on disk already; warn if that fails, and never raise."""
        if self.action == OFF or self.memory is None:
            return
        try:
            self.memory.remember(header.envelope_id, header.revision)
        except StorageError as exc:
            _warn(exc)

    def _remembered(self, header: Header) -> int:
        if self.memory is None:
            return 0
        try:
            return self.memory.newest(header.envelope_id)
        except StorageError as exc:
            self._act(exc)
            return 0

    def _act(self, error: RollbackError | StorageError) -> None:
        if self.action == REFUSE:
            raise error
        _warn(error)

    def _rolled_back(self, header: Header, newest: int, path: str | None) -> RollbackError:
        name = "the envelope" if path is None else repr(path)
        accept = "start this program anew"
        if self.memory is not None:
            accept = f"remove {self.memory.file_of(header.envelope_id)!r} and {accept}"
        return RollbackError(
            f"{name} is at revision {header.revision}, and revision {newest} of it was seen before",
            hint=f"put the newest version back; if this one was restored on purpose, {accept}",
        )


def configured_policy() -> RollbackPolicy:
    """Return what the environment and the user's settings file say; the environment goes first.

    Raises:
        SettingsError: There is no such policy, or the settings file has another option.
    """
    table = file_table(TABLE)
    unknown = sorted(set(table) - _OPTIONS)
    if unknown:
        raise SettingsError(
            f"the table [{TABLE}] of the settings file has no option {unknown[0]!r}",
            hint="its options are: policy, seen",
        )
    action = os.environ.get(POLICY_VARIABLE) or table.get("policy") or REFUSE
    folder = os.environ.get(SEEN_VARIABLE) or table.get("seen") or None
    if action not in (OFF, WARN, REFUSE):
        raise SettingsError(
            f"{action!r} is no policy for envelopes that were rolled back",
            hint=f"set ${POLICY_VARIABLE} to off, warn or refuse",
        )
    if not isinstance(folder, (str, type(None))):
        raise SettingsError(f"the option 'seen' of the table [{TABLE}] is no path")
    memory = None if folder is None else SeenRevisions(os.path.abspath(folder))
    return RollbackPolicy(str(action), memory)


def _warn(error: RollbackError | StorageError) -> None:
    logging.getLogger("ksm_storage.rollback").warning("warning: %s", error.message)

"""Refuse or report an envelope of which a newer revision was seen before."""

from __future__ import annotations

import logging
import os
import re
from typing import NamedTuple

from ..envelope.model import Header
from ..errors import RollbackError, SettingsError, StorageError
from ..files.lock import locked
from ..files.reading import read_file
from ..files.replacement import create_file, replace_file
from ..keys.setting_sources import file_table

POLICY_VARIABLE = "KSM_STORAGE_ROLLBACK"
SEEN_VARIABLE = "KSM_STORAGE_SEEN"
TABLE = "rollback"

OFF, WARN, REFUSE = "off", "warn", "refuse"

_OPTIONS = {"policy", "seen"}
_FOLDER_MODE = 0o700
_CONTENT = re.compile(rb"([1-9][0-9]{0,17})\n")


class SeenRevisions:
    """Remember the newest revision seen of each envelope, in a folder of small files."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def file_of(self, envelope_id: bytes) -> str:
        """Return the path of the file to delete to forget an envelope."""
        return os.path.join(self._folder, envelope_id.hex())

    def newest(self, envelope_id: bytes) -> int:
        """Return the newest revision seen, or 0 if none was.

        Raises:
            StorageError: The file cannot be read, or holds something else.
        """
        path = self.file_of(envelope_id)
        try:
            content = read_file(path).content
        except FileNotFoundError:
            return 0
        found = _CONTENT.fullmatch(content)
        if found is None:
            raise StorageError(
                f"{path!r} does not contain a revision",
                hint="delete it if you trust the envelope; its revision is then remembered again",
            )
        return int(found[1])

    def remember(self, envelope_id: bytes, revision: int) -> None:
        """Remember a revision, unless a newer one was seen meanwhile.

        Raises:
            StorageError: It cannot be written; what was remembered is unchanged.
        """
        path = self.file_of(envelope_id)
        self._make_folder()
        with locked(path):
            seen = self.newest(envelope_id)
            if revision <= seen:
                return
            content = b"%d\n" % revision
            if seen:
                replace_file(path, content)
            else:
                create_file(path, content)

    def _make_folder(self) -> None:
        try:
            os.makedirs(self._folder, mode=_FOLDER_MODE, exist_ok=True)
        except OSError as exc:
            raise StorageError(f"cannot create {self._folder!r}: {exc.strerror}") from exc

    def __repr__(self) -> str:
        return f"<SeenRevisions in {self._folder!r}>"


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
        accept = "restart this program"
        if self.memory is not None:
            accept = f"delete {self.memory.file_of(header.envelope_id)!r} and {accept}"
        return RollbackError(
            f"{name} is at revision {header.revision}, but revision {newest} was seen before",
            hint=f"restore the newest version; if you restored this one on purpose, {accept}",
        )


def configured_policy() -> RollbackPolicy:
    """Return what the environment and the user's settings file say; the environment goes first.

    Raises:
        SettingsError: The policy is invalid, or the settings file has an unknown option.
    """
    table = file_table(TABLE)
    unknown = sorted(set(table) - _OPTIONS)
    if unknown:
        raise SettingsError(
            f"unknown option {unknown[0]!r} in the table [{TABLE}] of the settings file",
            hint="available options: policy, seen",
        )
    action = os.environ.get(POLICY_VARIABLE) or table.get("policy") or REFUSE
    folder = os.environ.get(SEEN_VARIABLE) or table.get("seen") or None
    if action not in (OFF, WARN, REFUSE):
        raise SettingsError(
            f"{action!r} is not a rollback policy",
            hint=f"set ${POLICY_VARIABLE} to off, warn or refuse",
        )
    if not isinstance(folder, (str, type(None))):
        raise SettingsError(f"the option 'seen' of the table [{TABLE}] must be a path")
    memory = None if folder is None else SeenRevisions(os.path.abspath(folder))
    return RollbackPolicy(str(action), memory)


def _warn(error: RollbackError | StorageError) -> None:
    logging.getLogger("ksm_storage.rollback").warning("warning: %s", error.message)

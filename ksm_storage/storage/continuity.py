"""Decide whether a file may take the place of the one that was opened at its path before.

docs/continuity.md has the rules C1 to C11; ksm_storage.envelope.lineage compares two records.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence

from cryptography.hazmat.primitives.hashes import SHA256, Hash

from ..envelope.lineage import (
    Record,
    break_after_opening,
    break_before_opening,
    continuity_secret,
    fingerprint_of,
)
from ..envelope.model import Envelope, Header
from ..envelope.sealing import lineage_of
from ..errors import ContinuityError, KsmStorageError, SettingsError, StorageError
from ..files.lock import locked
from ..files.new_version import make_private_folder
from ..files.reading import file_error, read_file
from ..files.replacement import create_file, create_unlocked, replace_file
from ..keys.setting_sources import current_command_memory
from ..named_tuple import NamedTuple
from ..wire.json_objects import parse_object

OFF, WARN, REFUSE = "off", "warn", "refuse"

_FIELDS = {"name", "envelope", "generation", "key_fingerprint", "revision", "header_mac"}


class Memory:
    """Keep one record for each path, in a folder of small files."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def read(self, name: str) -> Record | None:
        """Return the record of a name, or None if it does not exist.

        Raises:
            StorageError: The file cannot be read, or holds something else.
            SettingsError: Somebody else can change it (C11).
        """
        path = self._file(name)
        try:
            self._refuse_foreign(self.folder)
            content = read_file(path).content
            self._refuse_foreign(path)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise file_error("read", self.folder, exc) from exc
        record = _parsed(content)
        if record is None:
            raise StorageError(
                f"{path!r} is not a valid record",
                hint="to record the current file instead: ksm-storage accept PATH",
            )
        return record

    def write(self, name: str, record: Record, *, only_forward: bool = True) -> None:
        """Record an envelope, unless a newer version of it was recorded meanwhile.

        Raises:
            StorageError: It cannot be written; the old record stands.
            SettingsError: Somebody else can change the folder (C11).
        """
        try:
            try:
                self._refuse_foreign(self.folder)
            except FileNotFoundError:
                make_private_folder(self.folder)
                self._refuse_foreign(self.folder)
        except OSError as exc:
            raise file_error("create", self.folder, exc) from exc
        path, content = self._file(name), _serialised(name, record)
        # Without the lock, which is the folder's until the record exists: the files of a batch
        # would wait for one another.
        if create_unlocked(path, content):
            return
        with locked(path):
            before = self.read(name) if only_forward else None
            if before is not None and not _is_newer(record, before):
                return
            if os.path.exists(path):
                replace_file(path, content)
            else:
                create_file(path, content)

    def _refuse_foreign(self, path: str) -> None:
        if os.name != "posix":
            return
        status, mine = os.stat(path, follow_symlinks=path == self.folder), os.geteuid()
        # Root looks after the files of services, whose memory belongs to them.
        if mine not in (0, status.st_uid) and status.st_uid != 0:
            raise SettingsError(
                f"the memory {path!r} belongs to another user (uid {status.st_uid})",
                hint="name a folder that does not exist yet, or one of the user of this program "
                f"(uid {mine})",
            )
        # The permissions of a link say nothing; whoever reads it refuses it.
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not stat.S_ISLNK(status.st_mode):
            raise SettingsError(
                f"the memory {path!r} can be changed by other users "
                f"(mode {stat.S_IMODE(status.st_mode):04o})",
                hint=self._cure(path, is_owner=mine in (0, status.st_uid)),
            )

    def _cure(self, path: str, *, is_owner: bool) -> str:
        if is_owner:
            import shlex

            return f"run: chmod go-w {shlex.quote(path)}"
        if path != self.folder:
            return "only root can take the permission away, or remove the file"
        # A volume that Kubernetes gives to a group stays root's.
        new = os.path.join(path, "ksm-storage-memory")
        return f"name a new folder in it, which is created for this user alone: {new!r}"

    def _file(self, name: str) -> str:
        # Not by hashlib, which loads a second copy of OpenSSL at each start.
        digest = Hash(SHA256())
        # A file name need not be text.
        digest.update(name.encode("utf-8", "surrogateescape"))
        return os.path.join(self.folder, digest.finalize().hex()[:32])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memory) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    def __repr__(self) -> str:
        return f"<Memory in {self.folder!r}>"


class Continuity(NamedTuple):
    """Hold where records are kept for a file, and what is done where one is broken.

    Attributes:
        action: ``off``, ``warn`` or ``refuse``.
        memories: Each is checked and written.
        is_configured: Whether somebody asked for it; if not, it is silent where nothing can be
            remembered (C9).
    """

    action: str
    memories: tuple[Memory, ...]
    is_configured: bool = True

    def check(self, envelope: Envelope, name: str) -> None:
        """Act on what an envelope says that is not authenticated yet (C10).

        Raises:
            ContinuityError: It breaks a record, and the action is to refuse.
            StorageError: A record cannot be read, and the action is to refuse.
            SettingsError: Somebody else can change it, and the action is to refuse.
        """
        for _, record in self._records(name):
            reason = early_break(record, envelope)
            if reason is not None:
                self._act(broken(name, reason, is_recorded=True))

    def accept(self, envelope: Envelope, dek: bytes, name: str) -> None:
        """Act on an envelope that was opened, and record it where it continues the line (C5, C7).

        Raises:
            ContinuityError: It breaks a record, and the action is to refuse.
            StorageError: A record cannot be read or written, and the action is to refuse.
            SettingsError: Somebody else can change it, and the action is to refuse.
        """
        if self.action == OFF or not self.memories:
            return
        found = record_of(envelope, dek)
        for memory, record in self._records(name):
            if record is not None and record != found:
                reason = break_after_opening(record, found, lineage_of(envelope, dek))
                if reason is not None:
                    # A warning for what the header shows was given before the opening.
                    if self.action == REFUSE or early_break(record, envelope) is None:
                        self._act(broken(name, reason, is_recorded=True))
                    continue
            if record != found:
                self._write(memory, name, found)

    def saved(self, envelope: Envelope, dek: bytes, name: str, *, is_new: bool) -> None:
        """Record what is on disk already; warn if that fails, and never raise.

        Args:
            envelope: What was written.
            dek: Its DEK.
            name: The name of its record.
            is_new: Whether it was made here, and so takes the place of any record on purpose.
        """
        if self.action == OFF or not self.memories:
            return
        found = record_of(envelope, dek)
        for memory in self.memories:
            try:
                # That only goes forward in one line: another envelope's record stays.
                memory.write(name, found, only_forward=not is_new)
            except (StorageError, SettingsError) as exc:
                if self.is_configured or isinstance(exc, SettingsError):
                    _warn(exc)

    def require_none(self, name: str) -> None:
        """Refuse to take what is not an envelope in the place of one that was recorded.

        Raises:
            ContinuityError: There is a record, and the action is to refuse.
            StorageError: A record cannot be read, and the action is to refuse.
            SettingsError: Somebody else can change it, and the action is to refuse.
        """
        for _, record in self._records(name):
            if record is not None:
                reason = "it is not sealed, and an envelope is recorded here"
                self._act(broken(name, reason, is_recorded=True))

    def replace(self, envelope: Envelope, dek: bytes, name: str) -> Sequence[Record | None]:
        """Record an envelope on purpose, whatever was recorded; return what was.

        Raises:
            StorageError: A record cannot be written.
            SettingsError: Somebody else can change it.
        """
        before = []
        for memory in self.memories:
            try:
                before.append(memory.read(name))
            except StorageError:
                before.append(None)
            memory.write(name, record_of(envelope, dek), only_forward=False)
        return before

    def _records(self, name: str) -> Iterator[tuple[Memory, Record | None]]:
        if self.action == OFF:
            return
        for memory in self.memories:
            try:
                yield memory, memory.read(name)
            except (StorageError, SettingsError) as exc:
                self._act(exc)

    def _write(self, memory: Memory, name: str, record: Record) -> None:
        try:
            memory.write(name, record)
        except (StorageError, SettingsError) as exc:
            self._act(exc)

    def _act(self, error: KsmStorageError) -> None:
        if isinstance(error, StorageError) and not self.is_configured:
            return
        if self.action == REFUSE:
            raise error
        _warn(error)


NOTHING_REMEMBERED = Continuity(OFF, ())


def continuity_of(action: str | None, folders: Iterable[str]) -> Continuity:
    """Return what holds for a file, given the strictest rule and all folders that rules name."""
    named = tuple(Memory(folder) for folder in dict.fromkeys(folders))
    if named:
        return Continuity(action or REFUSE, named)
    default = current_command_memory()
    if default is None or action == OFF:
        return NOTHING_REMEMBERED
    return Continuity(action or WARN, (Memory(default),), is_configured=False)


def name_of(path: str | None, header: Header) -> str:
    """Return the name of a record: the path as it was given, or the envelope's id (C5)."""
    return f"id:{header.envelope_id.hex()}" if path is None else os.path.abspath(path)


def record_of(envelope: Envelope, dek: bytes) -> Record:
    """Return the record of an envelope, its fingerprint made from the DEK (C6)."""
    header = envelope.header
    return Record(
        header.envelope_id,
        header.generation,
        fingerprint_of(continuity_secret(dek, header.envelope_id)),
        header.revision,
        envelope.header_mac,
    )


def early_break(record: Record | None, envelope: Envelope) -> str | None:
    """Return why an envelope cannot continue a record, without a key service; None without one."""
    if record is None:
        return None
    return break_before_opening(
        record,
        envelope_id=envelope.header.envelope_id,
        generation=envelope.header.generation,
        revision=envelope.header.revision,
        header_mac=envelope.header_mac,
    )


def broken(name: str, reason: str, *, is_recorded: bool) -> ContinuityError:
    """Return the error for a file that does not continue its line."""
    import shlex

    shown = "the envelope" if name.startswith("id:") else repr(name)
    step = (
        f"ksm-storage accept {shlex.quote(name)}"
        if is_recorded and not name.startswith("id:")
        else "restart this program"
    )
    return ContinuityError(
        f"{shown} does not continue the file that was opened here before: {reason}",
        hint=f"restore the newest version; if you replaced the file on purpose: {step}",
    )


def _is_newer(record: Record, before: Record) -> bool:
    if record.envelope_id != before.envelope_id:
        return False
    return (record.generation, record.revision) > (before.generation, before.revision)


def _serialised(name: str, record: Record) -> bytes:
    fields = {
        "name": name,
        "envelope": record.envelope_id.hex(),
        "generation": record.generation,
        "key_fingerprint": record.fingerprint.hex(),
        "revision": record.revision,
        "header_mac": record.header_mac.hex(),
    }
    return json.dumps(fields).encode() + b"\n"


def _parsed(content: bytes) -> Record | None:
    try:
        fields = parse_object(content)
        if set(fields) != _FIELDS:
            return None
        record = Record(
            bytes.fromhex(fields["envelope"]),
            fields["generation"],
            bytes.fromhex(fields["key_fingerprint"]),
            fields["revision"],
            bytes.fromhex(fields["header_mac"]),
        )
    except (ValueError, TypeError):
        return None
    numbers = (record.generation, record.revision)
    is_whole = all(type(number) is int and number >= 1 for number in numbers)
    is_whole = is_whole and len(record.fingerprint) == len(record.header_mac) == 32
    return record if is_whole else None


def _warn(error: KsmStorageError) -> None:
    text = error.message if error.hint is None else f"{error.message} ({error.hint})"
    import logging

    logging.getLogger("ksm_storage.continuity").warning("warning: %s", text)

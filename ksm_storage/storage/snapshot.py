"""Open an envelope's file: read it once, open it with one unwrap, and know when to look again."""

from __future__ import annotations

import os
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar, cast

from ..audit.events import emit
from ..config.document import Document, InvalidConfigError, read_payload
from ..envelope.codec import decode, encode, looks_like_envelope
from ..envelope.model import Envelope
from ..envelope.opening import is_dek_of, unlock
from ..errors import DecryptionError, EnvelopeError, KsmStorageError, StorageError
from ..files.reading import FileContent, Signature, not_found, read_file
from ..named_tuple import NamedTuple
from .open_policy import OpenPolicy

_Result = TypeVar("_Result")


class Snapshot(NamedTuple):
    """Hold what a storage knows at one moment: an opened envelope with its DEK and content.

    Attributes:
        envelope: The envelope as it is in the file.
        dek: Its DEK, with which it can be sealed again without a call to a key service.
        document: The content of its payload.
        profile: The name of the configuration that the storage shows.
        signature: The file's, when the envelope was read; None if it came from no file.
        raw: The bytes of the envelope, to see at little cost that they are still the same.
    """

    envelope: Envelope
    dek: bytes
    document: Document
    profile: str
    signature: Signature | None
    raw: bytes = b""

    def __repr__(self) -> str:
        # Nothing of the DEK and the configuration.
        return f"<Snapshot of revision {self.envelope.header.revision}>"

    @property
    def config(self) -> Mapping[str, str]:
        """Return the configuration that the storage shows."""
        return self.document.profiles[self.profile]


def with_envelope(
    path: str,
    use: Callable[[FileContent], _Result],
    *,
    found: FileContent | None = None,
    was_sealed: bool = False,
) -> _Result:
    """Return what a function makes of an envelope's file, read without its lock where possible.

    A save in place is the one case in which a reader can see half of a file, even a half that
    parses and only fails its MAC. So whatever fails is tried again with the lock held: the file is
    then whole, or truly damaged.

    Args:
        path: The file itself, no symbolic link.
        use: Called with the content; called again if it raised and the file has changed.
        found: The content, where the caller has read it already.
        was_sealed: Whether the caller has seen an envelope there, so that anything else has
            overwritten it.

    Raises:
        FileNotFoundError: The file does not exist.
        StorageError: It cannot be read, or is empty or overwritten.
        EnvelopeError: It is not an envelope.
        KsmStorageError: What the function raises for the file as it is under its lock.
    """
    seen: bytes | None = None
    failure: KsmStorageError | None = None
    try:
        found = found or read_file(path)
        _require_envelope(path, found.content, was_sealed=was_sealed)
        # The end of the journal may have been cut off between two of our reads: then the save is
        # done, and what was read of it is the version before.
        if not found.unfinished:
            seen = found.content
            return use(found)
    except (EnvelopeError, DecryptionError, StorageError) as exc:
        failure = exc
    # Most files open at the first try.
    from ..files.lock import locked

    while True:
        with locked(path):
            found = read_file(path)
        _require_envelope(path, found.content, was_sealed=was_sealed)
        if failure is not None and found.content == seen:
            if isinstance(failure, EnvelopeError):
                # Damage that shows before any key is tried, or an older revision; the rest is
                # told where the envelope is opened.
                emit("refused", path=path, error=failure)
            raise failure
        seen = found.content
        try:
            return use(found)
        except EnvelopeError as exc:
            # The lock is released before the function is called, so another process may have
            # saved a newer revision, and told it to the memory. It ends as soon as nobody does.
            failure = exc


def read_envelope(path: str) -> FileContent:
    """Return the content of an envelope's file, which was parsed and not opened.

    Raises:
        FileNotFoundError: The file does not exist.
        StorageError: It cannot be read, or is empty.
        EnvelopeError: It is not an envelope, or a damaged one.
    """

    def parsed(found: FileContent) -> FileContent:
        decode(found.content)
        return found

    return with_envelope(path, parsed)


def existing_envelope(
    real: str, path: str | os.PathLike[str], policy: OpenPolicy | None = None
) -> Envelope:
    """Return the envelope in a file that must exist and, if a policy is given, satisfy it.

    Raises:
        StorageError: The file does not exist, or cannot be read.
        EnvelopeError: It is not an envelope, or an older revision than was seen.
        DecryptionError: The policy does not allow it.
    """

    def parsed(found: FileContent) -> Envelope:
        envelope = decode(found.content)
        if policy is not None:
            policy.check(envelope, path=os.fspath(path))
        return envelope

    try:
        return with_envelope(real, parsed)
    except FileNotFoundError as exc:
        raise not_found(path) from exc


def locked_content(path: str) -> FileContent:
    """Return the content of a file that was an envelope before; the caller holds its lock.

    Raises:
        FileNotFoundError: The file does not exist.
        StorageError: It cannot be read, is empty, or another program wrote over it.
    """
    found = read_file(path)
    _require_envelope(path, found.content, was_sealed=True)
    return found


def locked_envelope(path: str, known: Envelope | None = None) -> Envelope:
    """Return the envelope in a file that was there before; the caller holds its lock.

    Args:
        path: The file itself, no symbolic link.
        known: An envelope that the caller has read there: returned itself where the file holds
            it still.

    Raises:
        StorageError: The file is gone, or cannot be read.
    """
    try:
        raw = locked_content(path).content
    except FileNotFoundError as exc:
        raise StorageError(f"another program removed {path!r}") from exc
    return known if known is not None and raw == encode(known) else decode(raw)


def open_snapshot(
    raw: bytes,
    policy: OpenPolicy,
    *,
    profile: str | None,
    signature: Signature | None,
    path: str | None = None,
    before: Snapshot | None = None,
) -> Snapshot:
    """Open the bytes of an envelope, with one call to a key service unless the DEK is known.

    Threads that open the same bytes at once make one call between them.

    Args:
        raw: The bytes.
        policy: What is required of them.
        profile: The profile that the storage shows; None for the active one.
        signature: The signature of the file they were read from.
        path: That file, for messages and the audit sinks.
        before: What the storage knew until now.

    Raises:
        ContinuityError: It may not take the place of what the storage knew, or of the record.
        KsmStorageError: It does not open.
    """
    if before is not None and raw == before.raw:
        return before._replace(signature=signature)
    envelope = decode(raw)
    if before is not None:
        _require_successor(before, envelope, path)
    if before is not None and is_dek_of(envelope, before.dek):
        policy.check(envelope, path=path)
        dek, document = before.dek, document_of(unlock(envelope, before.dek))
        policy.accept(envelope, dek, path=path)
    else:
        opened = open_once((raw, policy, path), lambda: policy.open(envelope, path=path))
        dek, document = opened.dek, document_of(opened.payload)
        if before is not None:
            _require_proof(before, envelope, dek, path)
    return Snapshot(envelope, dek, document, document.chosen(profile), signature, raw)


def _require_successor(before: Snapshot, envelope: Envelope, path: str | None) -> None:
    # What another process saved is looked at here first, before any key service (C8, C10).
    from .continuity import broken, early_break, name_of, record_of

    reason = early_break(record_of(before.envelope, before.dek), envelope)
    if reason is not None:
        raise broken(name_of(path, before.envelope.header), reason, is_recorded=False)


def _require_proof(before: Snapshot, envelope: Envelope, dek: bytes, path: str | None) -> None:
    from ..envelope.lineage import break_after_opening
    from ..envelope.sealing import lineage_of
    from .continuity import broken, name_of, record_of

    found, lineage = record_of(envelope, dek), lineage_of(envelope, dek)
    reason = break_after_opening(record_of(before.envelope, before.dek), found, lineage)
    if reason is not None:
        raise broken(name_of(path, before.envelope.header), reason, is_recorded=False)


def document_of(payload: bytes) -> Document:
    """Read a payload that was authenticated.

    Raises:
        EnvelopeError: It is not a configuration.
    """
    try:
        return read_payload(payload)
    except InvalidConfigError as exc:
        raise EnvelopeError(
            f"the sealed payload {exc}", hint="it was not sealed by ksm-storage"
        ) from exc.__cause__


def open_once(what: object, call: Callable[[], _Result]) -> _Result:
    """Return the result of a call, or of the same call that another thread is making.

    Only a call that is going on is shared; nothing is kept after it.

    Args:
        what: All that the result depends on. Equal values are the same call.
        call: Made unless another thread is making it.

    Raises:
        KsmStorageError: The call raised it, in this thread or in the one that made it.
    """
    # A thread that was opening when the process was forked does not exist in the child.
    running = _running_by_process.setdefault(os.getpid(), _Running())
    mine = _Opening(what)
    # From before it is listed: a signal handler may raise between any two of these steps.
    try:
        while True:
            with running.lock:
                other = next((each for each in running.openings if each.what == what), None)
                if other is None:
                    running.openings.append(mine)
                    break
            if other.thread == get_ident():
                # A plugin or an audit sink opens the file that it is asked about.
                return call()
            other.wait()
            if other.error is not None:
                raise other.error
            if other.result is not None:
                # Equal calls have results of one type.
                return cast("_Result", other.result)
            # It was given up (Ctrl-C in that thread): then this thread makes the call.
        result = mine.result = call()
        return result
    except KsmStorageError as exc:
        mine.error = exc
        raise
    finally:
        # Twice, because a handler may raise at the start of the first.
        try:
            running.end(mine)
        finally:
            running.end(mine)


class _Opening:
    def __init__(self, what: object) -> None:
        self.what = what
        self.thread = get_ident()
        # A bare lock, held until the end: a handler that raises inside of an Event's ``set``
        # would leave the Event's own lock held for ever.
        self._gate = allocate_lock()
        self._gate.acquire()
        self.result: Any = None
        self.error: KsmStorageError | None = None

    def wait(self) -> None:
        """Return when the opening has ended."""
        self._gate.acquire()
        self.end()

    def end(self) -> None:
        """Wake who waits; again without effect."""
        with suppress(RuntimeError):
            self._gate.release()


class _Running:
    def __init__(self) -> None:
        self.lock = allocate_lock()
        self.openings: list[_Opening] = []

    def end(self, mine: _Opening) -> None:
        """Take an opening off the list, if it is there, and wake who waits for it."""
        with self.lock:
            self.openings = [each for each in self.openings if each is not mine]
        mine.end()


# Threads that open know nothing of each other, so what they share belongs to the process.
_running_by_process: dict[int, _Running] = {}


def _require_envelope(path: str, content: bytes, *, was_sealed: bool) -> None:
    if looks_like_envelope(content):
        return
    if not content:
        from ..config.recognise import empty_error

        raise empty_error(repr(path))
    if was_sealed:
        raise StorageError(
            f"{path!r} is no longer an envelope: another program overwrote it",
            hint="restore it from a backup, or protect it again",
        )
    from .plaintext_source import wrong_format

    raise wrong_format(path, content)

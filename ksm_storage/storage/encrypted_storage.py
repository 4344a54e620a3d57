"""The storage that the SDK takes as its ``config=``, and the one over an envelope in a file."""

from __future__ import annotations

import os
from _thread import get_ident
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from ..audit.events import emit
from ..errors import StorageError
from ..files.reading import FileContent, not_found, resolved
from .open_policy import OpenPolicy
from .snapshot import Snapshot, locked_content, open_snapshot, with_envelope

if TYPE_CHECKING:
    from ..envelope.sealing import NewDek
    from .device_key import DeviceSigner

DEVICE_KEY = "deviceKey"
PRIVATE_KEY = "privateKey"

Config = dict[str, str]
Change = Callable[[Config], None]


class _Locks:
    """Hold the locks of a storage in one process, and the batch that is open.

    Attributes:
        change: Held for a change, or for a batch of them.
        refresh: Held while the state is replaced, inside of ``change`` if both are held; a batch
            does not hold it, so that other threads read on.
        batch: The changes of the batch that is open.
        batch_config: The configuration as the batch's own thread sees it.
        batch_thread: That thread.
    """

    __slots__ = ("batch", "batch_config", "batch_thread", "change", "refresh")

    def __init__(self) -> None:
        import threading  # here, as a process that only reads takes no lock

        self.change = threading.RLock()
        self.refresh = threading.RLock()
        self.batch: list[Change] | None = None
        self.batch_config: Config | None = None
        self.batch_thread: int | None = None


class EncryptedStorage(ABC):
    """Offer the eight methods of the official ``KeyValueStorage`` over a sealed configuration.

    Keys are the SDK's ``ConfigKeys`` members or their names as plain strings. What is handed out
    is always a copy. A value that was set is sealed and on the medium when the call returns; when
    a call raises, file and memory are as before. Threads may share a storage; it can be used in
    a forked child; it cannot be pickled.
    """

    def __init__(self, policy: OpenPolicy) -> None:
        self._policy = policy
        self._locks_by_process: dict[int, _Locks] = {}
        # Values of a client's own that could not be saved.
        self._unsaved: Config = {}
        self._signer: DeviceSigner | None = None

    @abstractmethod
    def _current(self) -> Mapping[str, str]:
        """Return the configuration as the last save of any process left it."""

    @abstractmethod
    def _saved(self, change: Change) -> Config:
        """Apply a change to what the file holds now, save it, and return the result."""

    @property
    def _locks(self) -> _Locks:
        # A thread that held a lock when the process was forked does not exist in the child, so
        # each process has locks of its own. A dictionary's setdefault needs no lock itself.
        process = os.getpid()
        locks = self._locks_by_process.get(process)
        return locks or self._locks_by_process.setdefault(process, _Locks())

    def read_storage(self) -> Config:
        """Return the whole configuration, a copy."""
        return dict(self._visible())

    # A mapping is invariant in its keys: with any other type a dict[str, str] would not fit.
    def save_storage(self, updated_config: Mapping[Any, str]) -> None:
        """Replace the whole configuration."""
        new = {_name(key): _value(value) for key, value in updated_config.items()}

        def replace(config: Config) -> None:
            config.clear()
            config.update(new)

        self._change(replace)

    def get(self, key: object) -> str | None:
        """Return a value, or None if it is not set.

        Raises:
            SettingsError: It is the private key, and that is in a key service.
        """
        config, name = self._visible(), _name(key)
        value = config.get(name)
        if value is None and name == PRIVATE_KEY and config.get(DEVICE_KEY):
            from .device_key import not_in_file

            # A client that gets None makes a key pair of its own, or fails far from the cause.
            raise not_in_file(config)
        return value

    def set(self, key: object, value: str | int | None) -> Config:
        """Set a value, or remove it if it is None, save, and return the whole configuration.

        A number, such as a server public key id, is kept as its digits.
        """
        if value is None:
            return self.delete(key)
        name, text = _name(key), _value(value)
        return self._change(lambda config: config.update({name: text}))

    def delete(self, key: object) -> Config:
        """Remove a value if there is one, save, and return the whole configuration."""
        name = _name(key)
        return self._change(lambda config: _drop(config, name))

    def delete_all(self) -> Config:
        """Remove every value, save, and return the empty configuration."""
        return self._change(lambda config: config.clear())

    def apply(self, change: Change) -> Config:
        """Let a function change the configuration, save, and return all of it.

        Between what the function reads and what it writes no other process saves. Inside a batch
        it is called once more when the batch ends, with what other processes have saved since.
        """

        def checked(config: Config) -> None:
            change(config)
            for key, value in config.items():
                _name(key)
                config[key] = _value(value)

        return self._change(checked)

    def contains(self, key: object) -> bool:
        """Tell whether there is a value."""
        return _name(key) in self._visible()

    def is_empty(self) -> bool:
        """Tell whether the configuration has no values."""
        return not self._visible()

    def device_signer(self) -> DeviceSigner | None:
        """Return the device's signer, which calls a key service once for each signature.

        None if the private key is a value of the configuration. Nothing is called here.

        Raises:
            StorageError: What the configuration says of the device key is invalid.
        """
        config = self._visible()
        if not config.get(DEVICE_KEY):
            return None
        from .device_key import signer_of

        before, found = self._signer, signer_of(config, self._policy.open_kek)
        if before is not None and found is not None and before.is_of(found):
            # It has a client and a connection that are open.
            return before
        self._signer = found
        return found

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Save all changes of the block once, at its end.

        Inside the block they are visible to this thread only; other threads' changes wait,
        their reads do not. If the block raises, nothing is saved. A batch inside a batch is part of
        the outer one.
        """
        locks = self._locks
        with locks.change:
            if locks.batch is not None:
                yield
                return
            changes: list[Change] = []
            # Read first: if that raises, no batch is open, and the next one is not inside of it.
            locks.batch_config = dict(self._current())
            locks.batch_thread = get_ident()
            locks.batch = changes
            try:
                yield
            finally:
                locks.batch = locks.batch_config = locks.batch_thread = None
            if changes:
                self._saved(lambda config: _apply(changes, config))

    def _visible(self) -> Mapping[str, str]:
        locks = self._locks_by_process.get(os.getpid())
        if locks and locks.batch_config is not None and locks.batch_thread == get_ident():
            return locks.batch_config
        current = self._current()
        return {**current, **self._unsaved} if self._unsaved else current

    def _change(self, change: Change) -> Config:
        locks = self._locks
        with locks.change:
            if locks.batch is None or locks.batch_config is None:
                try:
                    saved = self._saved(change)
                except StorageError as exc:
                    return self._kept(change, exc)
                self._unsaved = {}
                return saved
            locks.batch.append(change)
            change(locks.batch_config)
            return dict(locks.batch_config)

    def _kept(self, change: Change, cause: StorageError) -> Config:
        # Otherwise a server that changes its key would end every program on a read-only disk.
        from .unsaved import cached_changes

        config = dict(self._visible())
        found = cached_changes(config, change, cause, is_first=not self._unsaved)
        self._unsaved = {**self._unsaved, **found}
        return {**config, **found}

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # A pickle would be the configuration in the clear.
        raise TypeError("a storage cannot be pickled or copied; open it where it is needed")


class SealedFile(EncryptedStorage):
    """Keep a configuration in an envelope on disk.

    A read costs one ``stat``; a save calls no key service. Another process's save is seen by the
    next read, and a change is applied to what the file holds then, so that no process undoes
    what another one set.
    """

    def __init__(
        self,
        path: str,
        policy: OpenPolicy,
        *,
        snapshot: Snapshot | None,
        new: NewDek | None = None,
        profile: str | None = None,
    ) -> None:
        super().__init__(policy)
        self._path = path
        self._profile = profile
        self._snapshot = snapshot
        # Wrapped and waiting for the first change, while there is no file yet.
        self._new = new

    def _current(self) -> Mapping[str, str]:
        snapshot = self._snapshot
        try:
            status = os.stat(self._path)
        except OSError as exc:
            if snapshot is None and isinstance(exc, FileNotFoundError):
                return {}
            raise _gone(self._path, exc) from exc
        if (
            snapshot is not None
            and snapshot.signature is not None
            and snapshot.signature.still(status)
        ):
            return snapshot.config
        with self._locks.refresh:
            path = resolved(self._path)
            self._snapshot = with_envelope(path, self._reread, was_sealed=True)
            # Another process made the file between our opening and our first change.
            self._new = None
            return self._snapshot.config

    def _saved(self, change: Change) -> Config:
        from ..files.lock import locked

        path = resolved(self._path)
        with self._locks.refresh, locked(path):
            try:
                found = locked_content(path)
            except FileNotFoundError as exc:
                if self._snapshot is not None:
                    raise _gone(self._path, exc) from exc
                return self._created(path, change)
            snapshot = self._snapshot = self._reread(found)
            self._new = None
            config = dict(snapshot.config)
            change(config)
            if config != snapshot.config:
                self._snapshot = self._replaced(path, snapshot, config)
            return dict(config)

    def _created(self, path: str, change: Change) -> Config:
        # Loaded with the first change: a process that only reads needs none of it.
        from ..config.document import Document, write_payload
        from ..envelope.codec import encode
        from ..envelope.sealing import seal
        from ..files.replacement import create_file

        if self._new is None:
            raise not_found(self._path)
        config: Config = {}
        change(config)
        document = Document.single(config)
        envelope = seal(write_payload(document), self._new)
        raw = encode(envelope)
        signature = create_file(path, raw)
        emit("saved", path=path, header=envelope.header)
        self._snapshot = Snapshot(
            envelope, self._new.dek, document, document.chosen(None), signature, raw
        )
        self._policy.remember_saved(envelope, self._new.dek, path=self._path, is_new=True)
        self._new = None
        return config

    def _replaced(self, path: str, before: Snapshot, config: Config) -> Snapshot:
        from ..config.document import write_payload
        from ..envelope.codec import encode
        from ..envelope.sealing import seal_again
        from ..files.replacement import replace_file

        document = before.document.with_config(before.profile, config)
        envelope = seal_again(before.envelope, write_payload(document), dek=before.dek)
        raw = encode(envelope)
        signature = replace_file(path, raw)
        emit("saved", path=path, header=envelope.header)
        self._policy.remember_saved(envelope, before.dek, path=self._path)
        return before._replace(envelope=envelope, document=document, signature=signature, raw=raw)

    def _reread(self, found: FileContent) -> Snapshot:
        return open_snapshot(
            found.content,
            self._policy,
            profile=self._profile,
            signature=found.signature,
            path=self._path,
            before=self._snapshot,
        )

    def __repr__(self) -> str:
        snapshot = self._snapshot
        if snapshot is None:
            return f"<SealedFile {self._path!r}, not yet written>"
        header = snapshot.envelope.header
        keys = ", ".join(str(recipient.key) for recipient in header.recipients)
        return f"<SealedFile {self._path!r}, revision {header.revision}, under {keys}>"


def _gone(path: str, exc: OSError) -> StorageError:
    return StorageError(
        f"cannot read {path!r}: {exc.strerror}",
        hint="restore the file; ksm-storage does not recreate a file that existed before",
    )


def _apply(changes: list[Change], config: Config) -> None:
    for change in changes:
        change(config)


def _drop(config: Config, name: str) -> None:
    config.pop(name, None)


def _name(key: object) -> str:
    name = getattr(key, "value", key)
    if not isinstance(name, str):
        raise StorageError(
            f"a configuration key must be a string or ConfigKeys, not {type(key).__name__}"
        )
    if not name or not _is_text(name):
        raise StorageError(f"{name!r} is not a valid configuration key")
    return name


def _value(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # The value is not shown: it is what this package keeps secret.
    if not isinstance(value, str):
        raise StorageError(f"a configuration value must be a string, not {type(value).__name__}")
    if not _is_text(value):
        raise StorageError("a configuration value contains half of a surrogate pair")
    return value


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

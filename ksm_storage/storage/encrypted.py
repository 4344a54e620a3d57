"""The storage that the SDK takes as its ``config=``: a key-value view of a sealed configuration."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from ..errors import StorageError

Config = dict[str, str]
Change = Callable[[Config], None]


class _Turns:
    """Hold how the threads of one process take turns at a storage.

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

    def __init__(self) -> None:
        self._turns_by_process: dict[int, _Turns] = {}

    @abstractmethod
    def _current(self) -> Mapping[str, str]:
        """Return the configuration as the last save of any process left it."""

    @abstractmethod
    def _saved(self, change: Change) -> Config:
        """Apply a change to what the file holds now, save it, and return the result."""

    @property
    def _turns(self) -> _Turns:
        # A thread that held a lock when the process was forked does not exist in the child, so
        # each process has locks of its own. A dictionary's setdefault needs no lock itself.
        process = os.getpid()
        turns = self._turns_by_process.get(process)
        return turns or self._turns_by_process.setdefault(process, _Turns())

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
        """Return a value, or None where there is none."""
        return self._visible().get(_name(key))

    def set(self, key: object, value: str | None) -> Config:
        """Set a value, or remove it if it is None, save, and return the whole configuration."""
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
        """Let a function change the configuration as it is, save, and return the whole of it.

        Between what the function reads and what it writes no other process saves. Inside a batch
        it is called once more when the batch ends, with what other processes have saved since.
        """

        def checked(config: Config) -> None:
            change(config)
            for key, value in config.items():
                _name(key), _value(value)

        return self._change(checked)

    def contains(self, key: object) -> bool:
        """Tell whether there is a value."""
        return _name(key) in self._visible()

    def is_empty(self) -> bool:
        """Tell whether there is no value at all."""
        return not self._visible()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Turn all changes of the block into one save at its end.

        Inside the block they are visible to this thread only; other threads' changes wait,
        their reads do not. If the block raises, none of them is saved. A batch inside a batch is
        a part of it.
        """
        turns = self._turns
        with turns.change:
            if turns.batch is not None:
                yield
                return
            changes: list[Change] = []
            # Read first: if that raises, no batch is open, and the next one is not inside of it.
            turns.batch_config = dict(self._current())
            turns.batch_thread = threading.get_ident()
            turns.batch = changes
            try:
                yield
            finally:
                turns.batch = turns.batch_config = turns.batch_thread = None
            if changes:
                self._saved(lambda config: _apply(changes, config))

    def _visible(self) -> Mapping[str, str]:
        turns = self._turns
        batch_config = turns.batch_config
        if batch_config is not None and turns.batch_thread == threading.get_ident():
            return batch_config
        return self._current()

    def _change(self, change: Change) -> Config:
        turns = self._turns
        with turns.change:
            if turns.batch is None or turns.batch_config is None:
                return self._saved(change)
            turns.batch.append(change)
            change(turns.batch_config)
            return dict(turns.batch_config)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # A pickle would be the configuration in the clear.
        raise TypeError("a storage cannot be pickled or copied; open it where it is needed")


def _apply(changes: list[Change], config: Config) -> None:
    for change in changes:
        change(config)


def _drop(config: Config, name: str) -> None:
    config.pop(name, None)


def _name(key: object) -> str:
    name = getattr(key, "value", key)
    if not isinstance(name, str):
        raise StorageError(
            f"a key of a configuration is a string or a ConfigKeys member, not {type(key).__name__}"
        )
    if not name or not _is_text(name):
        raise StorageError(f"a key of a configuration is a name, not {name!r}")
    return name


def _value(value: object) -> str:
    # The value is not shown: it is what this package keeps secret.
    if not isinstance(value, str):
        raise StorageError(f"a value of a configuration is a string, not {type(value).__name__}")
    if not _is_text(value):
        raise StorageError("a value of a configuration holds half of a surrogate pair")
    return value


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

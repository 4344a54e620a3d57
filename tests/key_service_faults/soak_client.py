"""One client of the soak: does what programs do, and knows what it must find."""

from __future__ import annotations

import random
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import ksm_storage
from ksm_storage.envelope.codec import decode
from ksm_storage.errors import DecryptionError, ProviderError, StorageError
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from tests.unit.storage.fixtures import CONFIG

# What a fault may end in; a DecryptionError stands for a reply that was falsified.
DOCUMENTED = (ProviderError, DecryptionError, StorageError)


class Tally:
    """Count outcomes, and keep what must not happen; safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.violations: list[str] = []

    def count(self, operation: str, outcome: str) -> None:
        """Count one operation."""
        with self._lock:
            self.outcomes[operation, outcome] += 1

    def violated(self, what: str) -> None:
        """Keep a violation, and print it: an hour is long to wait for it."""
        with self._lock:
            self.violations.append(what)
            print(f"violation: {what}", file=sys.stderr, flush=True)


class Client:
    """Work on a file that other clients work on too; each owns one name in it."""

    def __init__(
        self, name: str, path: Path, choices: Sequence[Sequence[str]], tally: Tally
    ) -> None:
        """Take, for each service that the file is under, the keys of which it has one."""
        self.name, self.path, self._choices, self._tally = name, path, choices, tally
        self._random = random.Random(name)
        self._storage: EncryptedStorage | None = None
        self._seen: dict[str, int] = {}
        self.last = 0

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        actions = [self._read, self._set, self._open, self._rewrap, self._rekey]
        while not stop.is_set():
            (action,) = self._random.choices(actions, weights=[6, 6, 6, 2, 1])
            self._attempt(action.__name__.strip("_"), action)
            stop.wait(self._random.uniform(0, 0.05))

    def open_through_each_key(self) -> None:
        """Open the file through each of its keys alone."""
        recipients = decode(self.path.read_bytes()).header.recipients
        providers = [choice[0].partition(":")[0] for choice in self._choices]
        if sorted(each.key.provider for each in recipients) != sorted(providers):
            self._tally.violated(f"{self.name}: the file is not under one key of each service")
        for key in (str(each.key) for each in recipients):
            try:
                self._check(ksm_storage.open_storage(self.path, keys=[key]).read_storage())
            except Exception as exc:
                self._tally.violated(f"{self.name}: does not open at the end: {key}: {exc!r}")
            else:
                self._tally.count("open at the end", "ok")

    def _check(self, config: dict[str, str]) -> None:
        """Hold a configuration against what is known of it."""
        for name, value in CONFIG.items():
            if config.get(name) != value:
                self._tally.violated(f"{self.name}: {name} is lost or changed")
        if int(config.get(self.name, "0")) != self.last:
            self._tally.violated(f"{self.name}: its own value is not {self.last}")
        for name in set(config) - set(CONFIG):
            if int(config[name]) < self._seen.get(name, 0):
                self._tally.violated(f"{self.name}: {name} went back")
            self._seen[name] = int(config[name])

    def _attempt(self, operation: str, action: object) -> None:
        assert callable(action)
        try:
            action()
        except DOCUMENTED as exc:
            self._tally.count(operation, type(exc).__name__)
        except Exception as exc:
            self._tally.violated(f"{self.name}: {operation}: {exc!r}\n{traceback.format_exc()}")
        else:
            self._tally.count(operation, "ok")

    def _open(self) -> None:
        self._storage = None
        self._storage = ksm_storage.open_storage(self.path)
        self._check(self._storage.read_storage())

    def _opened(self) -> EncryptedStorage:
        if self._storage is None:
            self._open()
        assert self._storage is not None
        return self._storage

    def _read(self) -> None:
        self._check(self._opened().read_storage())

    def _set(self) -> None:
        self._opened().set(self.name, str(self.last + 1))
        self.last += 1

    def _rewrap(self) -> None:
        keys = self._random.choice(self._choices)
        # To the newest version of the one key, or to another key where keys have no versions.
        old, new = self._random.sample(keys, 2) if len(keys) > 1 else (keys[0], keys[0])
        ksm_storage.rewrap(self.path, replace={old: new})

    def _rekey(self) -> None:
        ksm_storage.rekey(self.path)

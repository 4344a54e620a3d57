"""A sealed file beside a plain dict: whatever is done, the file holds what the dict holds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import ksm_storage
from ksm_storage.envelope.codec import decode
from ksm_storage.errors import KsmStorageError
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from ksm_storage.storage.snapshot import read_envelope
from tests.faults.conftest import in_memory
from tests.faults.faulty_os import (
    CHANGING,
    Act,
    FaultyOs,
    die_after,
    die_before,
    die_in_the_middle,
    fail,
)
from tests.races.sequence_changes import Change, changes, names
from tests.unit.storage import forked
from tests.unit.storage.fixtures import new_key

handles = st.integers(0, 2)
key_numbers = st.integers(0, 2)
# More than the calls of any save that change something.
steps = st.integers(0, 14)
deaths = st.sampled_from([die_before, die_after, die_in_the_middle])
codes = st.sampled_from([5, 13, 16, 28, 30, 122])


class AnySequence(RuleBasedStateMachine):
    """Do anything to a file through three storages, and to a dict; they never differ.

    Attributes:
        model: What the file must hold.
        keys: The keys that must open it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._folder = tempfile.TemporaryDirectory(dir=in_memory(), prefix="ksm-storage-")
        folder = Path(self._folder.name)
        (folder / "file").mkdir()
        self._pool = [new_key(folder / f"{number}.key") for number in range(3)]
        self.path = folder / "file/config"
        self.model: dict[str, str] = {}
        self.keys = {self._pool[0]}
        self._storages: list[EncryptedStorage] = []
        self._os = FaultyOs(self._patch)

    @initialize(mounted=st.booleans())
    def begin(self, mounted: bool) -> None:
        """Seal an empty configuration; the file can be replaced, or it cannot."""
        ksm_storage.open_storage(self.path, keys=self._pool[:1]).save_storage({})
        self._storages = [ksm_storage.open_storage(self.path) for _ in range(3)]
        self._os.mounted = mounted

    @rule(handle=handles, change=changes)
    def change(self, handle: int, change: Change) -> None:
        """Set, delete, delete all or replace all."""
        returned = change.on(self._storages[handle])
        change.on_dict(self.model)
        assert returned in (self.model, None)

    @rule(handle=handles, group=st.lists(changes, max_size=4), raises=st.booleans())
    def batch(self, handle: int, group: list[Change], raises: bool) -> None:
        """Make several changes in one save, or in none."""
        storage, wanted = self._storages[handle], dict(self.model)
        try:
            with storage.batch():
                for change in group:
                    change.on(storage)
                    change.on_dict(wanted)
                    assert storage.read_storage() == wanted
                if raises:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            return
        self.model = wanted

    @rule(handle=handles)
    def reopen(self, handle: int) -> None:
        """Open the file anew."""
        self._storages[handle] = ksm_storage.open_storage(self.path)

    @rule(handle=handles, name=names)
    def get(self, handle: int, name: str) -> None:
        """Read one value."""
        storage = self._storages[handle]
        assert storage.get(name) == self.model.get(name)
        assert storage.contains(name) is (name in self.model)
        assert storage.is_empty() is (not self.model)

    @rule(number=key_numbers)
    def add_key(self, number: int) -> None:
        """Let one more key open the file."""
        ksm_storage.rewrap(self.path, add=[self._pool[number]])
        self.keys.add(self._pool[number])

    @precondition(lambda self: len(self.keys) > 1)
    @rule(number=key_numbers)
    def remove_key(self, number: int) -> None:
        """Let a key open the file no longer."""
        ksm_storage.rewrap(self.path, remove=[self._pool[number]])
        self.keys.discard(self._pool[number])

    @rule()
    def rekey(self) -> None:
        """Seal the file under a new DEK."""
        ksm_storage.rekey(self.path)

    @rule(handle=handles, change=changes, step=steps, code=codes)
    def change_that_may_fail(self, handle: int, change: Change, step: int, code: int) -> None:
        """Let one call of the save fail: an error and nothing, or everything.

        Only an error that says so leaves the new version: its folder cannot be synced any more.
        """
        try:
            with self._os.watching(act=_at_a_change(step, fail(code))):
                change.on(self._storages[handle])
        except KsmStorageError as exc:
            if "was replaced, but its folder cannot be synced" not in exc.message:
                return
        change.on_dict(self.model)

    @rule(handle=handles, change=changes, step=steps, death=deaths)
    def crash_in_a_change(
        self, handle: int, change: Change, step: int, death: Callable[[int], Act]
    ) -> None:
        """End a process at one call of its save: the file is as before, or as if it had ended."""
        self._in_a_process(lambda: change.on(self._storages[handle]), step, death)
        wanted = dict(self.model)
        change.on_dict(wanted)
        found = ksm_storage.open_storage(self.path).read_storage()
        assert found in (self.model, wanted)
        self.model = found

    @rule(step=steps, death=deaths, number=key_numbers)
    def crash_in_a_change_of_keys(
        self, step: int, death: Callable[[int], Act], number: int
    ) -> None:
        """End a process at one call of a rewrap or a rekey."""
        key = self._pool[number]
        if key in self.keys:
            self._in_a_process(lambda: ksm_storage.rekey(self.path), step, death)
        else:
            self._in_a_process(lambda: ksm_storage.rewrap(self.path, add=[key]), step, death)
        found = self._keys_of_the_file()
        assert found in (self.keys, self.keys | {key})
        self.keys = found

    @invariant()
    def every_storage_holds_what_the_dict_holds(self) -> None:
        """Compare all of them."""
        for storage in self._storages:
            assert storage.read_storage() == self.model

    @invariant()
    def the_keys_are_the_ones_that_were_given(self) -> None:
        """Compare the names in the header; the next opening unwraps."""
        if self._storages:
            assert self._keys_of_the_file() == self.keys

    def teardown(self) -> None:
        """Save once more, and find the file alone in its folder, opened by each of its keys."""
        try:
            if self._storages:
                self._storages[0].set("last", "x")
                for key in self.keys:
                    storage = ksm_storage.open_storage(self.path, keys=[key])
                    assert storage.read_storage() == {**self.model, "last": "x"}
                assert os.listdir(self.path.parent) == ["config"]
                assert b"\0" not in self.path.read_bytes()
        finally:
            self._patch.undo()
            self._folder.cleanup()

    def _keys_of_the_file(self) -> set[str]:
        header = decode(read_envelope(str(self.path)).content).header
        return {str(recipient.key) for recipient in header.recipients}

    def _in_a_process(
        self, work: Callable[[], object], step: int, death: Callable[[int], Act]
    ) -> None:
        def dying() -> None:
            with self._os.watching(act=_at_a_change(step, death(forked.KILLED))):
                work()

        assert forked.run(dying) in (0, forked.KILLED)


def _at_a_change(step: int, act: Act) -> Act:
    """Act at the call of that number among those that change something."""
    seen = 0

    def at_one(name: str, perform: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        nonlocal seen
        if name not in CHANGING:
            return perform()
        seen += 1
        return act(name, perform, arguments) if seen == step + 1 else perform()

    return at_one

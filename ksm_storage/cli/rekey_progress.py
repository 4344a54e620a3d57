"""Which files a rekey of many files has done, so that repeating the command resumes it.

Other commands see in the file itself whether it is done. A rekey makes a new data key each time, so
the finished files are listed in the user's state folder until all are done.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from ..envelope.model import Envelope
from ..files.new_version import make_private_folder
from ..files.reading import resolved
from ..keys.setting_sources import current_command_memory
from ..storage.snapshot import existing_envelope
from .many_files import Files
from .output import echo_err

# A rekey that is repeated later is meant to make new data keys again.
_MAX_AGE_SECONDS = 86_400
_MAX_BYTES = 16_777_216


class _Entry(NamedTuple):
    path: str
    envelope_id: str
    generation: int


class RekeyProgress:
    """Hold what one command has done. Thread-safe.

    Args:
        files: The files of the command; one alone is not noted.
        keys: What else tells this command from another.
    """

    def __init__(self, files: Files, keys: Sequence[Sequence[str]]) -> None:
        memory = None if files.one or files.dry_run else current_command_memory()
        self._lock = threading.Lock()
        self._place: str | None = None
        self._done: set[_Entry] = set()
        if memory is not None:
            what = [*map(os.path.abspath, files.paths)], [*files.lists], [[*each] for each in keys]
            name = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
            self._place = os.path.join(os.path.dirname(memory), "rekey", f"{name}.jsonl")
            self._done = _read(self._place)

    def has(self, path: str, envelope: Envelope) -> bool:
        """Tell whether an earlier run of this command made the data key of this file."""
        return _entry(path, envelope) in self._done

    def add(self, path: str) -> None:
        """Note that a file is done."""
        if self._place is None:
            return
        entry = _entry(path, existing_envelope(resolved(path), path))
        with self._lock:
            try:
                _append(self._place, entry)
            except OSError as exc:
                self._place = None
                echo_err(
                    "warning: cannot record progress, so this rekey cannot be resumed: "
                    f"{exc.strerror}"
                )

    def finish(self) -> None:
        """Remove the list: every file is done."""
        if self._place is not None and os.path.exists(self._place):
            os.unlink(self._place)


def _entry(path: str, envelope: Envelope) -> _Entry:
    header = envelope.header
    return _Entry(os.path.abspath(path), header.envelope_id.hex(), header.generation)


def _read(place: str) -> set[_Entry]:
    try:
        if time.time() - os.stat(place).st_mtime > _MAX_AGE_SECONDS:
            os.unlink(place)
            return set()
        with open(place, encoding="utf-8") as file:
            lines = file.read(_MAX_BYTES).splitlines()
    except (OSError, ValueError):
        return set()
    found = set()
    for line in lines:
        try:
            path, envelope_id, generation = json.loads(line)
        # The last line of a run that was killed.
        except (ValueError, TypeError):
            continue
        found.add(_Entry(path, envelope_id, generation))
    return found


def _append(place: str, entry: _Entry) -> None:
    make_private_folder(os.path.dirname(place))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(place, flags, 0o600)
    try:
        os.write(descriptor, f"{json.dumps(entry)}\n".encode())
    finally:
        os.close(descriptor)

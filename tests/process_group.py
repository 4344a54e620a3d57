"""Processes that end with the one that started them, however that one ends."""

from __future__ import annotations

import os
import subprocess


class ProcessGroup:
    """Hold processes together; close it, or die, to kill those that are left.

    Attributes:
        number: What a new process is given as ``process_group``; None on Windows.
    """

    def __init__(self) -> None:
        self._watcher: subprocess.Popen[bytes] | None = None
        self.number: int | None = None
        if os.name != "posix":
            return
        # It waits for the end of its stdin, which comes also when this process is killed.
        self._watcher = subprocess.Popen(
            ["sh", "-c", "read -r _; kill -KILL 0"],
            stdin=subprocess.PIPE,
            process_group=0,
        )
        self.number = self._watcher.pid

    def close(self) -> None:
        """Kill every process of the group that is left, and wait for the watcher alone."""
        if self._watcher is not None:
            self._watcher.communicate()

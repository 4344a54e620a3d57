"""Processes that end with the one that started them, however that one ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable


class ProcessGroup:
    """Hold processes together; close it, or die, to kill those that are left.

    Attributes:
        join: What a new process has to call before it runs its program; None on Windows.
    """

    def __init__(self) -> None:
        self._watcher: subprocess.Popen[bytes] | None = None
        self.join: Callable[[], None] | None = None
        if os.name != "posix":
            return
        # It waits for the end of its stdin, which comes also when this process is killed.
        self._watcher = subprocess.Popen(
            ["sh", "-c", "read -r _; kill -KILL 0"],
            stdin=subprocess.PIPE,
            preexec_fn=os.setpgrp,  # process_group= needs Python 3.11
        )
        group = self._watcher.pid
        self.join = lambda: os.setpgid(0, group)

    def close(self) -> None:
        """Kill every process of the group that is left, and wait for the watcher alone."""
        if self._watcher is not None:
            self._watcher.communicate()

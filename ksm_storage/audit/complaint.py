"""Say once in a process that audit events are lost."""

from __future__ import annotations

import logging
import os

# State that changes, because "once" is a fact about the process. By process id, so that a forked
# child, whose log may be another one, says it too.
_said_by: set[int] = set()


def complain(reason: str) -> None:
    """Log a warning, the first time; a fleet of files must not drown its own results."""
    if os.getpid() in _said_by:
        return
    _said_by.add(os.getpid())
    logging.getLogger("ksm_storage.audit").warning("warning: audit events are lost: %s", reason)

"""Batches in copies of the tests' process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from ksm_storage.batch.provider_queue import FileResult
from ksm_storage.batch.runner import Deadline, Runner

needs_two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs Linux and two cores",
)


def forked(work: Callable[[str], FileResult], *, deadline: Deadline | None = None) -> Runner:
    """Return a runner that processes all files in copies of this process."""
    return Runner(work, service_of=lambda _: "local", limit=4, forked={"local"}, deadline=deadline)


def pid(_path: str) -> FileResult:
    """Return which process worked on the file."""
    time.sleep(0.001)
    return FileResult(str(os.getpid()))

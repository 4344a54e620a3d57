"""Batches that may fork beside the threads of other tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads of other tests may be there; they hold no lock that is used here.
    monkeypatch.setattr("ksm_storage.batch.forked_queue.may_fork", lambda: True)

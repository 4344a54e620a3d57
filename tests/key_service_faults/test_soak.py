"""The soak in short: ten seconds of what ``scripts/soak`` does for an hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.key_service_faults.conftest import require_plugins
from tests.key_service_faults.soak import soak


def test_nothing_is_lost_under_random_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_plugins()
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    tally, disturbances = soak(tmp_path, seconds=10, clients=16, seed=1)

    assert tally.violations == []
    assert disturbances > 10
    done = {operation for operation, outcome in tally.outcomes if outcome == "ok"}
    assert {"open", "read", "set", "open at the end"} <= done
    assert any(outcome != "ok" for _, outcome in tally.outcomes)

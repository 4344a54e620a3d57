"""The soak in short: five seconds of what ``scripts/soak`` does for an hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.key_service_faults.conftest import require_plugins
from tests.key_service_faults.soak import soak
from tests.key_service_faults.soft_hsm import is_installed


def test_nothing_is_lost_under_random_faults(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    require_plugins()
    hsm = request.getfixturevalue("soft_hsm") if is_installed() else None

    tally, disturbances = soak(tmp_path, seconds=5, clients=16, seed=1, hsm=hsm)

    assert tally.violations == []
    assert disturbances > 10
    done = {operation for operation, outcome in tally.outcomes if outcome == "ok"}
    assert {"open", "read", "set", "open at the end"} <= done
    assert any(outcome != "ok" for _, outcome in tally.outcomes)
    if hsm is not None:
        assert min(hsm.interposer.calls["C_Encrypt"], hsm.interposer.calls["C_Decrypt"]) > 0

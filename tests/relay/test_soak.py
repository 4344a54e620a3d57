"""The soak in short: what ``python -m tests.relay.soak`` does for an hour with 10,000 records."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ksm_storage_local_vault.testing import running_vault

from tests.relay.relay import Relay, bind_device
from tests.relay.soak import TOLERANCE, fill, growth, soak
from tests.unit.storage.fixtures import new_key

ROUNDS = 32


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_memory_does_not_grow(tmp_path: Path) -> None:
    with running_vault(tmp_path) as vault:
        uids = fill(vault, 200)
        sealed = tmp_path / "client-config.json"
        bind_device(vault, sealed, new_key(tmp_path / "key"))
        relay = Relay(sealed, tmp_path / "relay", vault)
        relay.start()

        memory, reads = soak(relay, uids, goes_on=lambda rounds: rounds < ROUNDS)
        relay.stop()

    assert reads == ROUNDS * 5
    assert growth(memory) < TOLERANCE, memory

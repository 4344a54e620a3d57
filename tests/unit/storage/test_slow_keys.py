"""A change of a file's keys waits for a slow key service as long as the caller allows."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.errors import UnavailableError
from tests.unit.storage.fixtures import CONFIG
from tests.unit.storage.planted import Counted, write_unproven

ONE, TWO = "counted://one", "counted://two"
CHANGES: dict[str, Callable[..., Any]] = {
    "rewrap": lambda path, key, **pace: ksm_storage.rewrap(path, add=[key], **pace),
    # Those that stay would be asked once more, to see them unwrap the new DEK.
    "rekey": lambda path, key, **pace: ksm_storage.rekey(
        path, add=[key], remove=[each for each in (ONE, TWO) if each in path.read_text()], **pace
    ),
}


@pytest.fixture
def asked(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let the first key answer only once the second was asked, and list who is asked to unwrap."""
    module: Any = sys.modules["planted_counted_plugin"]
    honest = module.CountingKek.unwrap
    answer = threading.Event()
    asked: list[str] = []

    def unwrap(kek: Any, wrapped: Any, *, aad: Any) -> bytes:
        asked.append(wrapped.key_id)
        if wrapped.key_id == "two":
            answer.set()
        # So long only where nobody asks the second one, which is what a test would fail for.
        answer.wait(10)
        return bytes(honest(kek, wrapped, aad=aad))

    monkeypatch.setattr(module.CountingKek, "unwrap", unwrap)
    yield asked
    answer.set()


def sealed_under(folder: Path, *keys: str) -> Path:
    write_unproven(folder / "c", keys, CONFIG)
    return folder / "c"


@pytest.mark.parametrize("change", CHANGES)
def test_a_hedge_asks_the_next_key_as_well(
    change: str, folder: Path, key: str, asked: list[str]
) -> None:
    path = sealed_under(folder, ONE, TWO)

    CHANGES[change](path, key, hedge=0.01)

    assert sorted(asked) == ["one", "two"]
    assert ksm_storage.open_storage(path, keys=[key]).read_storage() == CONFIG


@pytest.mark.parametrize("change", CHANGES)
def test_a_key_that_does_not_answer_in_time_leaves_the_file_as_it_was(
    change: str, folder: Path, key: str, asked: list[str]
) -> None:
    path = sealed_under(folder, ONE)
    before = path.read_bytes()

    with pytest.raises(UnavailableError, match="did not answer within"):
        CHANGES[change](path, key, timeout=0.1)

    assert path.read_bytes() == before

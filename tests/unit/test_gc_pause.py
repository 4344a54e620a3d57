"""The pause of the garbage collector: nothing is gone through for nothing, nothing is changed."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ksm_storage.process import gc_pause


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """Note the generation of each collection."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def test_what_is_made_in_the_block_wakes_nobody(collections: list[int]) -> None:
    gc.collect()  # else what was made before the block may wake one on the way into it
    collections.clear()

    with gc_pause():
        made = [[number] for number in range(100_000)]
    woken = list(collections)

    assert len(made) == 100_000
    assert woken == []


def test_a_cycle_that_is_made_in_the_block_is_found_later(collections: list[int]) -> None:
    with gc_pause():
        cycle: list[object] = []
        cycle.append(cycle)
        number = id(cycle)
        del cycle

    gc.collect()

    assert number not in map(id, gc.get_objects())


def test_objects_that_the_application_froze_stay_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with gc_pause():
            made = [[]]  # type: ignore[var-annotated]  # anything
        # One that is freed meanwhile is frozen no longer.
        assert 0 < gc.get_freeze_count() <= frozen
        assert made
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled: bool) -> None:
    if not enabled:
        gc.disable()
    try:
        with gc_pause():
            assert not gc.isenabled()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()

"""A service that answers late or never is given up at the plugin's deadline."""

from __future__ import annotations

import time

import pytest

from ksm_storage.errors import UnavailableError
from tests.key_service_faults.operations import CALLS_OF
from tests.key_service_faults.outcomes import FOUR
from tests.key_service_faults.scene import Scene, Snapshot
from tests.key_service_faults.test_lasting_faults import fails

# Of the seconds that are allowed beyond the deadline, a busy machine takes most.
ALLOWANCE_SECONDS = 15

LATE = [(provider, *case, "late reply") for provider in FOUR for case in CALLS_OF]
# One that hangs keeps a thread of the emulator for good.
NEVER = [
    (provider, *case, "no reply")
    for provider in FOUR
    for case in CALLS_OF
    if case[0] in ("create", "open")
]


@pytest.mark.parametrize(
    ("running", "operation", "call", "fault"), sorted(LATE + NEVER), indirect=["running"]
)
def test_no_answer_is_unavailable_within_the_deadline_and_changes_nothing(
    scene: Scene, operation: str, call: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Snapshot.of(scene.folder)
    scene.service.strike(fault, call)
    started = time.monotonic()

    with monkeypatch.context() as patch:
        for name, value in scene.service.in_a_hurry.items():
            patch.setenv(name, value)
        fails(scene, operation, UnavailableError)

    assert time.monotonic() - started < ALLOWANCE_SECONDS
    assert Snapshot.of(scene.folder) == before
    scene.service.heal()
    scene.assert_nothing_lost()

"""A fault that lasts is one documented error, and nothing is lost: every fault x every call."""

from __future__ import annotations

from typing import Any

import pytest

from ksm_storage.errors import KsmStorageError, ThrottledError
from tests.key_service_faults.operations import CALLS_OF, OPERATIONS, CommandFailedError
from tests.key_service_faults.outcomes import UNWRAP, WRAP, Error, faults_at, outcome_of
from tests.key_service_faults.scene import Scene, Snapshot
from tests.key_service_faults.service import EmulatedService, FaultyService
from tests.long_form import LONG_FORM
from tests.unit.storage.fixtures import CONFIG

# Two operations meet every fault of their call. What another operation does differently is what
# it does with an error: it meets one fault for each error, and all of them in the long form.
WHOLE = (("create", WRAP), ("open", UNWRAP))


def meets(operation: str, call: str) -> list[tuple[str, str]]:
    """Return the faults, each with its provider, that an operation meets at a call."""
    every = list(faults_at(call))
    if LONG_FORM or (operation, call) in WHOLE:
        return every
    one_each: dict[tuple[str, Error | None], str] = {}
    for provider, fault in every:
        one_each.setdefault((provider, outcome_of(provider, fault).at(call)), fault)
    return [(provider, fault) for (provider, _), fault in one_each.items()]


# A command over many files retries a throttled one for minutes: see BackoffPolicy in batch.
MATRIX = [
    (provider, operation, call, fault)
    for operation, call in CALLS_OF
    for provider, fault in meets(operation, call)
    if not (operation == "check" and outcome_of(provider, fault).at(call) is ThrottledError)
]
# One service after the other, so that each is started once.
MATRIX.sort(key=lambda case: case[0])


def fails(scene: Scene, operation: str, kind: Error) -> None:
    """Run an operation and assert that it ends in this documented error."""
    with pytest.raises((KsmStorageError, CommandFailedError)) as caught:
        OPERATIONS[operation](scene)

    error: Any = caught.value
    assert error.exit_code == kind.exit_code, repr(error)
    if isinstance(error, KsmStorageError):
        assert type(error) is kind, repr(error)
        assert error.retryable is kind.retryable
        assert error.key


@pytest.mark.parametrize(("running", "operation", "call", "fault"), MATRIX, indirect=["running"])
def test_a_fault_that_lasts_is_its_documented_error_and_changes_nothing(
    scene: Scene, operation: str, call: str, fault: str
) -> None:
    kind = outcome_of(scene.service.provider, fault).at(call)
    assert kind is not None
    before = Snapshot.of(scene.folder)
    scene.service.strike(fault, call)

    fails(scene, operation, kind)

    assert Snapshot.of(scene.folder) == before
    scene.service.heal()
    scene.assert_nothing_lost()


SERVICES = sorted({provider for provider, *_ in MATRIX})


@pytest.mark.parametrize("running", SERVICES, indirect=True)
def test_what_is_open_is_read_and_saved_without_the_key_service(
    scene: Scene, service: FaultyService
) -> None:
    fault = "dropped connection" if isinstance(service, EmulatedService) else "device error"
    service.strike(fault, None, times=1)

    scene.application.set("hostname", "keepersecurity.eu")
    scene.application.set("appKey", scene.application.get("appKey") or "")
    scene.application.delete("serverPublicKeyId")

    assert not service.was_struck()
    service.heal()
    scene.application.save_storage(CONFIG)
    scene.assert_nothing_lost()

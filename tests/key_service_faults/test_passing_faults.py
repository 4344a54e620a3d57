"""A fault that passes is outlived by the plugin's retries, or is an error once."""

from __future__ import annotations

import pytest

from ksm_storage.errors import KsmStorageError
from tests.key_service_faults.operations import CALLS_OF, OPERATIONS
from tests.key_service_faults.outcomes import faults_at, faults_retried, outcome_of
from tests.key_service_faults.scene import Scene, Snapshot

# One operation for each call; the matrix of the faults that last has all of them.
SAMPLE = [("create", "wrap"), ("open", "unwrap")]
RETRIED = [
    (provider, operation, call, fault)
    for provider, fault in faults_retried()
    for operation, call in SAMPLE
]
TOLD = [
    (provider, operation, call, fault)
    for operation, call in SAMPLE
    for provider, fault in faults_at(call)
    if (provider, fault) not in faults_retried()
]
TOLD.sort(key=lambda case: case[0])


@pytest.fixture(autouse=True)
def through_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the direct calls out: after a failed one the client asks again, whatever it was."""
    for name in ("AWS_KMS", "AZURE_KV", "GCP_KMS", "ORACLE_KV"):
        monkeypatch.setenv(f"KSM_STORAGE_{name}_DIRECT_CALL", "false")


def test_the_sample_names_calls_of_the_matrix() -> None:
    assert set(SAMPLE) <= set(CALLS_OF)


@pytest.mark.parametrize(("running", "operation", "call", "fault"), RETRIED, indirect=["running"])
def test_a_fault_that_passes_goes_unnoticed(
    scene: Scene, operation: str, call: str, fault: str
) -> None:
    scene.service.strike(fault, call, times=1)

    OPERATIONS[operation](scene)

    assert scene.service.was_struck()
    scene.assert_nothing_lost()


@pytest.mark.parametrize(("running", "operation", "call", "fault"), TOLD, indirect=["running"])
def test_what_is_not_retried_is_an_error_once(
    scene: Scene, operation: str, call: str, fault: str
) -> None:
    before = Snapshot.of(scene.folder)
    scene.service.strike(fault, call, times=1)

    with pytest.raises(KsmStorageError) as caught:
        OPERATIONS[operation](scene)

    assert type(caught.value) is outcome_of(scene.service.provider, fault).at(call)
    assert Snapshot.of(scene.folder) == before
    OPERATIONS[operation](scene)
    scene.assert_nothing_lost()

"""With a second recipient, a fault of the first keeps nobody out; what wraps anew still fails."""

from __future__ import annotations

from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.errors import KsmStorageError
from tests.key_service_faults.outcomes import UNWRAP, WRAP, faults_at, outcome_of
from tests.key_service_faults.scene import Scene, Snapshot
from tests.key_service_faults.service import FaultyService
from tests.unit.storage.fixtures import CONFIG, new_key
from tests.unit.storage.planted import Counted, counted

__all__ = ["counted"]

# A key service of the tests' own, which is asked after the one that fails.
SECOND = "counted://two"
UNWRAPPED = sorted(faults_at(UNWRAP))
SERVICES = sorted({provider for provider, _ in UNWRAPPED})
OUTAGE = {name: "device error" if name == "pkcs11" else "503" for name in SERVICES}


def break_down(service: FaultyService) -> None:
    """Fail at both calls, and not at the sign-in, which has errors of its own."""
    for call in (WRAP, UNWRAP):
        service.strike(OUTAGE[service.provider], call)


@pytest.mark.parametrize(("running", "fault"), UNWRAPPED, indirect=["running"])
def test_the_second_service_opens_whatever_is_wrong_with_the_first(
    scene: Scene, counted: Counted, fault: str
) -> None:
    ksm_storage.rewrap(scene.sealed, add=[SECOND])
    counted.calls.clear()
    scene.service.strike(fault, UNWRAP)

    opened = ksm_storage.open_storage(scene.sealed)

    assert opened.read_storage() == CONFIG
    assert counted.calls == [("unwrap", "two")]


@pytest.mark.parametrize("running", SERVICES, indirect=True)
def test_a_key_file_listed_second_opens_without_a_call_to_the_service(
    scene: Scene, tmp_path: Path
) -> None:
    ksm_storage.rewrap(scene.sealed, add=[new_key(tmp_path / "local.key")])
    scene.service.strike(OUTAGE[scene.service.provider], None, times=1)

    assert ksm_storage.open_storage(scene.sealed).read_storage() == CONFIG
    assert not scene.service.was_struck()


@pytest.mark.parametrize("running", SERVICES, indirect=True)
def test_if_both_fail_each_is_told(scene: Scene, counted: Counted) -> None:
    ksm_storage.rewrap(scene.sealed, add=[SECOND])
    before = Snapshot.of(scene.folder)
    fault = OUTAGE[scene.service.provider]
    scene.service.strike(fault, UNWRAP)
    counted.fail_with("Denied")

    with pytest.raises(KsmStorageError) as caught:
        ksm_storage.open_storage(scene.sealed)

    first, second = caught.value.causes
    assert type(first) is outcome_of(scene.service.provider, fault).unwrap
    assert second.key == SECOND
    assert Snapshot.of(scene.folder) == before


@pytest.mark.parametrize("running", SERVICES, indirect=True)
def test_through_the_second_another_key_is_added_while_the_first_is_out(
    scene: Scene, counted: Counted, tmp_path: Path
) -> None:
    ksm_storage.rewrap(scene.sealed, add=[SECOND])
    break_down(scene.service)

    ksm_storage.rewrap(scene.sealed, add=[new_key(tmp_path / "local.key")])

    scene.service.heal()
    scene.assert_nothing_lost()


@pytest.mark.parametrize("running", SERVICES, indirect=True)
def test_a_rekey_leaves_nobody_behind(scene: Scene, counted: Counted) -> None:
    ksm_storage.rewrap(scene.sealed, add=[SECOND])
    before = Snapshot.of(scene.folder)
    break_down(scene.service)

    with pytest.raises(KsmStorageError) as caught:
        ksm_storage.rekey(scene.sealed)

    assert type(caught.value) is outcome_of(
        scene.service.provider, OUTAGE[scene.service.provider]
    ).at(WRAP)
    assert Snapshot.of(scene.folder) == before
    scene.service.heal()
    scene.assert_nothing_lost()

"""``doctor --for`` over the wire, for principals that are granted one thing and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksm_storage.contract.abilities import NEEDS, Need
from tests.call_counts.services import SERVICES
from tests.doctor.cloud import allow_only
from tests.doctor.test_cloud_services import Doctor, sealed, service  # noqa: F401  # fixtures
from tests.key_service_faults.service import EmulatedService

# What each principal may do, and for what purposes a key then serves. Whoever seals proves that
# the key opens, too.
SERVES: dict[tuple[Need, ...], set[Need]] = {
    ("open",): {"open"},
    ("seal",): set(),
    ("describe",): {"describe"},
    ("open", "seal"): {"open", "seal"},
}


@pytest.mark.parametrize("service", SERVICES, indirect=True)
def test_a_key_serves_what_its_principal_is_granted(
    service: EmulatedService,  # noqa: F811
    sealed: Path,  # noqa: F811
    doctor: Doctor,
) -> None:
    found = {}
    for granted in SERVES:
        allow_only(service, granted)
        codes = {purpose: doctor(sealed, "--for", purpose).code for purpose in NEEDS}
        found[granted] = {purpose for purpose, code in codes.items() if code == 0}
        assert set(codes.values()) <= {0, 4}

    assert found == {granted: set(serves) for granted, serves in SERVES.items()}

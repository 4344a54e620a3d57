"""Lead the plugins of this process to a service whose faults are commanded."""

from __future__ import annotations

import pytest

from tests.key_service_faults.service import FaultyService
from tests.key_service_faults.soft_hsm import SoftHsm


def lead(service: FaultyService, patch: pytest.MonkeyPatch) -> None:
    """Set the environment in which the plugin finds the service."""
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in service.variables.items():
        patch.setenv(name, value)
    if isinstance(service, SoftHsm):
        stand_between(service, patch)


def stand_between(service: SoftHsm, patch: pytest.MonkeyPatch) -> None:
    """Put the interposer before the library, as at the start of a process."""
    from ksm_storage_entrust_hsm import cryptoki, session

    real = cryptoki.function_list
    patch.setattr(cryptoki, "function_list", lambda path: service.interposer.interposed(real(path)))
    session.sessions.forget()

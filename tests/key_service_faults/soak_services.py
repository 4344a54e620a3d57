"""The services of the soak: four emulators and a token, each with its faults and administrator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.pytest_plugin import EmulatorStarter

from tests.call_counts.services import SERVICES, Service
from tests.key_service_faults.leading import lead
from tests.key_service_faults.outcomes import TOKEN_ANSWERS
from tests.key_service_faults.service import DEADLINES, FAULTS, EmulatedService, FaultyService
from tests.key_service_faults.soak_keys import ADMINISTRATORS, Administrator
from tests.key_service_faults.soak_token import token_administrator
from tests.key_service_faults.soft_hsm import SoftHsm

# Each of these hangs for good and would keep a thread of an emulator.
LEFT_OUT = {FaultKind.HANG}

# An object of a token has no versions: a rewrap goes from one object to the other. The names are
# those that the file shows, for no other may be replaced.
_OBJECTS = tuple(
    f"pkcs11:token=ksm;object={label};id=%{number:02X};type=secret-key"
    for number, label in enumerate(("one", "two"), start=1)
)


class Part(NamedTuple):
    """Hold a service that takes part.

    Attributes:
        service: What commands its faults.
        faults: The names of those that may strike.
        administrator: Who holds its keys.
        keys: Those that a file may be under, one at a time.
    """

    service: FaultyService
    faults: tuple[str, ...]
    administrator: Administrator
    keys: tuple[str, ...]


@contextmanager
def running_parts(folder: Path, hsm: SoftHsm | None) -> Iterator[list[Part]]:
    """Run the emulators, and lead the plugins of this process there and to the token."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        parts = [_emulated(each, EmulatorStarter(stack), folder) for each in SERVICES.values()]
        if hsm is not None:
            administrator = stack.enter_context(token_administrator(hsm))
            parts.append(Part(hsm, tuple(TOKEN_ANSWERS), administrator, _OBJECTS))
        for part in parts:
            lead(part.service, patch)
        for name in DEADLINES.values():
            patch.setenv(name, "3")
        yield parts


def _emulated(named: Service, starter: EmulatorStarter, folder: Path) -> Part:
    place = folder / named.provider
    place.mkdir()
    emulator, keys, variables = named.begin(starter, place)
    if named.provider == "azure-kv":
        # Without the version, so that a rewrap moves on to the newest.
        keys = (keys[0].rpartition("/")[0], keys[1].rpartition("/")[0])
    found = {**emulator.environment(), **variables}
    return Part(
        EmulatedService(named.provider, emulator, keys, found),
        tuple(fault for fault, how in FAULTS.items() if how.kind not in LEFT_OUT),
        ADMINISTRATORS[named.provider](emulator.service, keys[0]),
        keys[:1],
    )

"""The strict emulator of a vault, with ways to make it fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.oci_vault.identities import Grant
from ksm_storage_emulators.oci_vault.keys import DISABLED, ENABLED, PENDING_DELETION
from ksm_storage_emulators.oci_vault.service import OciVaultService

_WIRE_FAULTS = {
    "throttled": FaultKind.THROTTLE,
    "failing": FaultKind.ERROR,
    "dropped": FaultKind.DROP,
    "cut off": FaultKind.TRUNCATE,
    "wrong checksum": FaultKind.WRONG_CHECKSUM,
    "wrong key": FaultKind.WRONG_KEY_ID,
}
_STATES = {"disabled": DISABLED, "pending deletion": PENDING_DELETION}


class EmulatedVault:
    """Hold a running emulator; keys last as long as it does."""

    def __init__(self, emulator: Emulator[OciVaultService]) -> None:
        self.emulator = emulator
        self.service = emulator.service
        self.url = emulator.url

    def create_key(self, **arguments: Any) -> str:
        """Return the OCID of a new key; the arguments are the service's ``create_key``."""
        return self.service.create_key(**arguments).ocid

    def rotate(self, key: str) -> None:
        """Give a key another version."""
        found = self.service.vault.find(key)
        assert found is not None
        found.rotate(self.service.clock.now())

    def calls(self) -> int:
        """Return how many requests came since the last reset."""
        return sum(self.emulator.transcript.calls().values())

    @contextmanager
    def provoked(self, fault: str, key: str) -> Iterator[None]:
        """Let the vault fail for one key, or for everybody, while the context lasts."""
        if fault in _STATES:
            with self._in_state(_STATES[fault], key):
                yield
            return
        if fault == "denied":
            with self.grants(Grant("KEY_READ")):
                yield
            return
        if fault == "unknown caller":
            administrator = self.service.administrator
            self.service.identities.revoke(administrator)
            yield
            self.service.identities.keep(administrator)
            return
        self.emulator.faults.add(_WIRE_FAULTS[fault])
        yield
        self.emulator.faults.clear()

    @contextmanager
    def grants(self, *grants: Grant) -> Iterator[None]:
        """Give the administrator other permissions while the context lasts."""
        principal = self.service.administrator.principal
        before = principal.grants
        principal.grants = list(grants)
        yield
        principal.grants = before

    @contextmanager
    def _in_state(self, state: str, key: str) -> Iterator[None]:
        found = self.service.vault.find(key)
        assert found is not None
        found.state = state
        yield
        found.state = ENABLED

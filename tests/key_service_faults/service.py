"""A key service that fails on command: one set of names for all five."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind

from tests.key_service_faults.outcomes import UNWRAP, WRAP

HOUR = 3600


class FaultyService(Protocol):
    """Hold two keys of a service, what leads a plugin there, and the faults to command."""

    @property
    def provider(self) -> str:
        """The first part of the keys' URIs."""

    @property
    def keys(self) -> tuple[str, str]:
        """The URIs of two keys."""

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment under which the plugin finds the service."""

    @property
    def in_a_hurry(self) -> Mapping[str, str]:
        """The settings of a short deadline, as an environment; empty where there is none."""

    def strike(self, fault: str, call: str | None, *, times: int | None = None) -> None:
        """Put a fault in force at one kind of call or at all: until healed, or so many times."""

    def was_struck(self) -> bool:
        """Tell whether a call met the one fault that was to be met once."""

    def heal(self) -> None:
        """End all faults."""


class Injection(NamedTuple):
    """Hold how an emulator makes a fault."""

    kind: FaultKind
    options: Mapping[str, Any] = {}


FAULTS: Mapping[str, Injection] = {
    # Longer than a test's deadline, and short enough to free the emulator's thread again.
    "late reply": Injection(FaultKind.LATENCY, {"seconds": 3.0}),
    "no reply": Injection(FaultKind.HANG),
    "dropped connection": Injection(FaultKind.DROP),
    "throttled": Injection(FaultKind.THROTTLE),
    "throttled, wait a moment": Injection(FaultKind.THROTTLE, {"retry_after_seconds": 0.01}),
    "throttled, wait an hour": Injection(FaultKind.THROTTLE, {"retry_after_seconds": HOUR}),
    "500": Injection(FaultKind.ERROR, {"status": 500}),
    "503": Injection(FaultKind.ERROR, {"status": 503}),
    "truncated body": Injection(FaultKind.TRUNCATE),
    "wrong checksum": Injection(FaultKind.WRONG_CHECKSUM),
    "wrong key id": Injection(FaultKind.WRONG_KEY_ID),
    "over-long key": Injection(FaultKind.OVER_LONG_KEY),
}

# What each service calls a wrap and an unwrap.
CALLS: Mapping[str, Mapping[str, str]] = {
    "aws-kms": {WRAP: "Encrypt", UNWRAP: "Decrypt"},
    "azure-kv": {WRAP: "wrapKey", UNWRAP: "unwrapKey"},
    "gcp-kms": {WRAP: "Encrypt", UNWRAP: "Decrypt"},
    "oracle-kv": {WRAP: "Encrypt", UNWRAP: "Decrypt"},
}

DEADLINES: Mapping[str, str] = {
    "aws-kms": "KSM_STORAGE_AWS_KMS_DEADLINE",
    "azure-kv": "KSM_STORAGE_AZURE_KV_DEADLINE",
    "gcp-kms": "KSM_STORAGE_GCP_KMS_DEADLINE",
    "oracle-kv": "KSM_STORAGE_ORACLE_KV_DEADLINE",
}


class EmulatedService(NamedTuple):
    """Command the faults of an emulator."""

    provider: str
    emulator: Emulator[Any]
    keys: tuple[str, str]
    variables: Mapping[str, str]

    @property
    def in_a_hurry(self) -> Mapping[str, str]:
        """A deadline of less than a second."""
        return {DEADLINES[self.provider]: "0.7"}

    def strike(self, fault: str, call: str | None, *, times: int | None = None) -> None:
        """Put a fault in force."""
        kind, options = FAULTS[fault]
        operation = None if call is None else CALLS[self.provider][call]
        self.emulator.faults.add(kind, operation=operation, times=times, **options)

    def was_struck(self) -> bool:
        """Tell whether the fault was used up."""
        return not self.emulator.faults.in_force()

    def heal(self) -> None:
        """End all faults."""
        self.emulator.faults.clear()

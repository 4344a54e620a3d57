"""The strict emulator of AWS KMS with a client of its administrator, for setting keys up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import boto3
from ksm_storage_emulators.aws_kms.identities import allow, deny
from ksm_storage_emulators.aws_kms.service import REGION, AwsKmsService
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind

_WIRE_FAULTS = {
    "throttled": FaultKind.THROTTLE,
    "failing": FaultKind.ERROR,
    "dropped": FaultKind.DROP,
    "cut off": FaultKind.TRUNCATE,
}
_STATES = {
    "disabled": ("disable_key", ("enable_key",)),
    "pending deletion": ("schedule_key_deletion", ("cancel_key_deletion", "enable_key")),
}


class EmulatedKms:
    """Hold a running emulator; keys last as long as it does."""

    def __init__(self, emulator: Emulator[AwsKmsService]) -> None:
        self.emulator = emulator
        self.url = emulator.url

    @cached_property
    def client(self) -> Any:
        """A KMS client of the administrator."""
        return self.client_in(REGION)

    def client_in(self, region: str) -> Any:
        """Return a KMS client of the administrator in a region."""
        administrator = self.emulator.service.administrator
        return boto3.client(
            "kms",
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=administrator.access_key_id,
            aws_secret_access_key=administrator.secret_access_key,
        )

    def create_key(self, **arguments: Any) -> str:
        """Return the ARN of a new key; the arguments are the service's ``create_key``."""
        return self.emulator.service.create_key(**arguments).arn

    def calls(self) -> int:
        """Return how many requests came since the last reset."""
        return sum(self.emulator.transcript.calls().values())

    @contextmanager
    def provoked(self, fault: str, key: str) -> Iterator[None]:
        """Let the service fail for one key, or for everybody, while the context lasts."""
        if fault in _STATES:
            change, undo = _STATES[fault]
            getattr(self.client, change)(KeyId=key)
            yield
            for operation in undo:
                getattr(self.client, operation)(KeyId=key)
            return
        if fault == "denied":
            with self.statements(allow("*"), deny("kms:Encrypt", "kms:Decrypt")):
                yield
            return
        self.emulator.faults.add(_WIRE_FAULTS[fault])
        yield
        self.emulator.faults.clear()

    @contextmanager
    def statements(self, *statements: Any) -> Iterator[None]:
        """Give the administrator another policy while the context lasts."""
        identities = self.emulator.service.identities
        principal = self.emulator.service.administrator.principal.arn
        identities.set_statements(principal, statements)
        yield
        identities.set_statements(principal, [allow("*")])

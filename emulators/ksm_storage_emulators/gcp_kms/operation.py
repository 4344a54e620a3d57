"""What one call may look at: its caller, the keys, the grants and the faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.gcp_kms.ciphertext import CiphertextCodec
from ksm_storage_emulators.gcp_kms.policy import Policy
from ksm_storage_emulators.gcp_kms.store import Store
from ksm_storage_emulators.message import Headers
from ksm_storage_emulators.service import Bench

# Answers one call: operation, request as bytes, headers. Raises GcpError.
Respond = Callable[[str, bytes, Headers], bytes]


@dataclass(frozen=True, slots=True)
class Operation:
    """One admitted call of an authenticated caller."""

    name: str
    caller: str
    store: Store
    policy: Policy
    codec: CiphertextCodec
    bench: Bench

    def require(self, permission: str, resource: str) -> None:
        """Refuse a caller without the permission.

        Raises:
            GcpError: PERMISSION_DENIED.
        """
        self.policy.require(self.caller, permission, resource)

    def suffers(self, kind: FaultKind) -> bool:
        """Say whether this reply is to be falsified, and count the fault as used."""
        return self.bench.faults.take(kind, self.name) is not None

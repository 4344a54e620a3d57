"""What comes of each fault, as one table: at a wrap, and at an unwrap.

Every row is a class of :mod:`ksm_storage.errors`, whose ``retryable`` is documented there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ksm_storage.errors import (
    DecryptionError,
    KeyStateError,
    KsmStorageError,
    ProviderError,
    ThrottledError,
    UnavailableError,
)

Error = type[KsmStorageError]
WRAP, UNWRAP = "wrap", "unwrap"
FOUR = ("aws-kms", "azure-kv", "gcp-kms", "oracle-kv")
TOKEN = "pkcs11"


class Outcome(NamedTuple):
    """Hold the error of a fault that lasts, and whether one that passes goes unnoticed.

    Attributes:
        wrap: The error at a wrap; None where nothing goes wrong.
        unwrap: The error at an unwrap; None likewise.
        retried: The services whose plugin tries again, so that a fault that passes is no error.
    """

    wrap: Error | None
    unwrap: Error | None
    retried: tuple[str, ...] = ()

    def at(self, call: str) -> Error | None:
        """Return the error at one call."""
        return self.wrap if call == WRAP else self.unwrap


GONE, BUSY = UnavailableError, ThrottledError

ANSWERS: Mapping[str, Outcome] = {
    "dropped connection": Outcome(GONE, GONE, FOUR),
    "throttled": Outcome(BUSY, BUSY, FOUR),
    "throttled, wait a moment": Outcome(BUSY, BUSY, FOUR),
    # AWS KMS and OCI Vault give advice in seconds that their clients shorten or do not read.
    "throttled, wait an hour": Outcome(BUSY, BUSY, ("aws-kms", "oracle-kv")),
    "500": Outcome(GONE, GONE, FOUR),
    "503": Outcome(GONE, GONE, FOUR),
    # The AWS client takes half a body for an empty reply.
    "truncated body": Outcome(GONE, GONE, ("azure-kv", "gcp-kms", "oracle-kv")),
    "wrong checksum": Outcome(GONE, GONE),
    "wrong key id": Outcome(ProviderError, DecryptionError),
    "over-long key": Outcome(None, DecryptionError),
}

# Where the protocol of a service has no room for the fault.
ABSENT: Mapping[str, Mapping[str, Outcome]] = {
    "aws-kms": {"wrong checksum": Outcome(None, None)},
    "azure-kv": {"wrong checksum": Outcome(None, None)},
    # The reply to a decryption names no key.
    "gcp-kms": {"wrong key id": Outcome(ProviderError, None)},
    # The reply to an encryption has no checksum.
    "oracle-kv": {"wrong checksum": Outcome(None, GONE)},
}

# What a PKCS #11 library answers. No plugin of ours repeats that in a session that is new.
TOKEN_ANSWERS: Mapping[str, Outcome] = {
    "device error": Outcome(GONE, GONE),
    "device memory": Outcome(BUSY, BUSY),
    "session closed": Outcome(GONE, GONE),
    "token removed": Outcome(GONE, GONE),
    "key disabled": Outcome(KeyStateError, KeyStateError),
    "short reply": Outcome(ProviderError, DecryptionError),
    "altered reply": Outcome(DecryptionError, DecryptionError),
}


def outcome_of(provider: str, fault: str) -> Outcome:
    """Return what comes of a fault of a service."""
    if provider == TOKEN:
        return TOKEN_ANSWERS[fault]
    return ABSENT[provider].get(fault, ANSWERS[fault])


def faults_at(call: str) -> list[tuple[str, str]]:
    """Return each service with each fault that is an error at a call."""
    named = [(provider, fault) for provider in FOUR for fault in ANSWERS]
    named += [(TOKEN, fault) for fault in TOKEN_ANSWERS]
    return [pair for pair in named if outcome_of(*pair).at(call) is not None]


def faults_retried() -> list[tuple[str, str]]:
    """Return each service with each fault that its plugin outlives."""
    return [(name, fault) for name in FOUR for fault, row in ANSWERS.items() if name in row.retried]

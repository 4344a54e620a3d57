"""File statuses as the key services would let them be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ksm_storage.contract.abilities import KeyDescription
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.model import Recipient
from ksm_storage.errors import KsmStorageError
from ksm_storage.status.file_status import FileStatus
from ksm_storage.status.key_facts import RecipientStatus

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = "aws-kms://arn:aws:kms:eu-west-1:111122223333:key/one"


def recipient_status(
    uri: str = KEY,
    *,
    description: KeyDescription | None = None,
    version: str | None = None,
    problem: KsmStorageError | None = None,
    algorithm: str = "SYMMETRIC_DEFAULT",
) -> RecipientStatus:
    recipient = Recipient(KeyUri.parse(uri), algorithm, b"wrapped")
    return RecipientStatus(recipient, description, version, problem)


def file_status(
    *recipients: RecipientStatus,
    dek_days: int = 0,
    sealed_days: int = 0,
    mode: int = 0o600,
    context: dict[str, str] | None = None,
) -> FileStatus:
    return FileStatus(
        path="c.json",
        mode=mode,
        envelope_id=bytes(16),
        created=NOW - timedelta(days=dek_days),
        sealed=NOW - timedelta(days=sealed_days),
        revision=1,
        context=context or {},
        recipients=recipients or (recipient_status(),),
    )

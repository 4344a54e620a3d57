"""One authenticated KMS request, with what every operation does first."""

from dataclasses import dataclass

from ksm_storage_emulators.aws_kms.arguments import Arguments
from ksm_storage_emulators.aws_kms.authorization import authorize
from ksm_storage_emulators.aws_kms.ciphertext import CiphertextCodec
from ksm_storage_emulators.aws_kms.errors import AwsError
from ksm_storage_emulators.aws_kms.identities import AccessKey
from ksm_storage_emulators.aws_kms.keys import DISABLED, ENABLED, KmsKey
from ksm_storage_emulators.aws_kms.store import KeyStore
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.service import Call


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation works with. The store's lock is held while it runs."""

    call: Call
    caller: AccessKey
    region: str
    arguments: Arguments
    store: KeyStore
    codec: CiphertextCodec
    now: float

    @property
    def action(self) -> str:
        """The permission that the operation needs."""
        return f"kms:{self.call.operation}"

    def key(self, member: str = "KeyId") -> KmsKey:
        """Return the key that a member names by key id or key ARN, the caller being allowed.

        Raises:
            AwsError: AccessDeniedException, or NotFoundException, for an alias too.
        """
        name = self.arguments.text(member)
        if name.startswith("alias/") or ":alias/" in name:
            raise AwsError("NotFoundException", f"Invalid keyId '{name}'")
        return self.named_key(name, self.action)

    def key_or_alias(self, member: str = "KeyId", *, action: str | None = None) -> KmsKey:
        """Return the key that a member names in any way, the caller being allowed."""
        return self.named_key(self.arguments.text(member), action or self.action)

    def named_key(self, name: str, action: str) -> KmsKey:
        """Return the key of that name, the caller being allowed.

        Raises:
            AwsError: AccessDeniedException or NotFoundException.
        """
        arn = self.store.arn_of(self.region, name)
        authorize(self.caller, action, arn)
        return self.store.by_arn(arn)

    def reply_arn(self, key: KmsKey) -> str:
        """Return the key's ARN for the reply, or another one when the fault says so."""
        if self.call.suffers(FaultKind.WRONG_KEY_ID):
            return key.arn.rpartition("/")[0] + "/00000000-0000-4000-8000-000000000000"
        return key.arn

    def reply_plaintext(self, plaintext: bytes) -> bytes:
        """Return the plaintext for the reply, one byte too long when the fault says so."""
        return plaintext + b"\0" if self.call.suffers(FaultKind.OVER_LONG_KEY) else plaintext

    def stop_dry_run(self) -> None:
        """Raise DryRunOperationException when nothing but the dry run is in the way."""
        if self.arguments.flag("DryRun"):
            text = "The request would have succeeded, but the DryRun option is set."
            raise AwsError("DryRunOperationException", text)


def require_enabled(key: KmsKey) -> None:
    """Raise unless the key may be used.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html, notes 1 and 3.
    """
    if key.state == DISABLED:
        raise AwsError("DisabledException", f"{key.arn} is disabled.")
    require_not_pending(key)


def require_not_pending(key: KmsKey) -> None:
    """Raise when the key is waiting for its deletion: note 3 of the same table."""
    if key.state not in (ENABLED, DISABLED):
        raise AwsError("KMSInvalidStateException", f"{key.arn} is pending deletion.")

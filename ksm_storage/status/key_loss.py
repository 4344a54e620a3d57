"""Which files would become unreadable if a key, or one version of it, were destroyed."""

from __future__ import annotations

from dataclasses import dataclass

from ..contract.key_wrapper import KeyUri
from ..envelope.opening import covers
from ..errors import DecryptionError, KeyNotFoundError, SettingsError
from .file_status import FileStatus
from .key_facts import KeyFacts, RecipientStatus

# A key in one of these states opens nothing for long; the other states can be undone.
DOOMED = ("destroyed", "pending-deletion")


@dataclass(frozen=True, slots=True)
class KeyLossImpact:
    """Hold the key whose loss is examined.

    Attributes:
        key: Its own name, not an alias; with a version, or for all of its versions.
        version: The version or key material, as ``status`` shows it; None for all.
    """

    key: KeyUri
    version: str | None = None

    @classmethod
    def of(cls, key: KeyUri, version: str | None, facts: KeyFacts | None) -> KeyLossImpact:
        """Resolve an alias through the key service; without ``facts`` take the name as it is.

        Raises:
            KsmStorageError: The key service rejected the query or failed.
        """
        if facts is None:
            return cls(key, version)
        description, problem = facts.describe(key)
        if problem is not None and not isinstance(problem, KeyNotFoundError):
            raise problem
        # It is also worth asking about a key that is already gone.
        resolved = key.key_id if description is None else description.key_id
        return cls(KeyUri(key.provider, resolved), version)

    def concerns(self, recipient: RecipientStatus) -> bool:
        """Tell whether the recipient would be lost.

        Raises:
            SettingsError: The version that wrapped it is unknown.
        """
        own = recipient.recipient.key
        if _is_version_of(self.key, own):
            # The recipient may be under this version or another one; its name does not say it.
            raise _version_not_known(own)
        if own != self.key and not _is_version_of(own, self.key):
            return False
        if self.version is None:
            return True
        if recipient.version is None:
            raise _version_not_known(own)
        return recipient.version == self.version


def is_lost_by(impact: KeyLossImpact, status: FileStatus) -> bool:
    """Tell whether no other recipient would remain that opens the file.

    A recipient does not count as remaining if its key is destroyed, pending deletion or not found,
    or does not unwrap it. It does count if its key is disabled, kept offline or was not queried.

    Raises:
        SettingsError: It cannot be determined.
    """
    concerned = [impact.concerns(recipient) for recipient in status.recipients]
    if not any(concerned):
        return False
    left = [r for r, lost in zip(status.recipients, concerned, strict=True) if not lost]
    return not any(_opens(recipient) for recipient in left)


def _opens(recipient: RecipientStatus) -> bool:
    if isinstance(recipient.problem, (DecryptionError, KeyNotFoundError)):
        return False
    return recipient.state not in DOOMED


def _is_version_of(version: KeyUri, key: KeyUri) -> bool:
    below = version.key_id.startswith(f"{key.key_id.rstrip('/')}/")
    return below and covers(key, version)


def _version_not_known(key: KeyUri) -> SettingsError:
    return SettingsError(
        f"the version of {key} that wrapped the data key is unknown",
        hint="name the whole key; or use --version, with permission to unwrap and without "
        "--offline",
    )

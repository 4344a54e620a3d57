"""Which files nothing would open any more if a key, or one version of it, were destroyed."""

from __future__ import annotations

from dataclasses import dataclass

from ..contract.key_uri import KeyUri
from ..envelope.opening import covers
from ..errors import DecryptionError, KeyNotFoundError, SettingsError
from .file_status import FileStatus
from .key_facts import KeyFacts, RecipientStatus

# What such a key opens today it does not open for long; the other states can be undone.
DOOMED = ("destroyed", "pending-deletion")


@dataclass(frozen=True, slots=True)
class KeyLossImpact:
    """Hold which key would be destroyed.

    Attributes:
        key: Its own name, no alias; with a version, or for all of its versions.
        version: The one version or key material concerned, as ``status`` shows it; all if None.
    """

    key: KeyUri
    version: str | None = None

    @classmethod
    def of(cls, key: KeyUri, version: str | None, facts: KeyFacts | None) -> KeyLossImpact:
        """Resolve an alias, so that no other key is taken for this one.

        Raises:
            SettingsError: It may be an alias, and the key service is not to be asked.
            KsmStorageError: The key service refused or failed.
        """
        if facts is None:
            return cls(key, version)
        description, problem = facts.describe(key)
        if problem is not None and not isinstance(problem, KeyNotFoundError):
            raise problem
        # A key that is gone already is a good question, too.
        resolved = key.key_id if description is None else description.key_id
        return cls(KeyUri(key.provider, resolved), version)

    def concerns(self, recipient: RecipientStatus) -> bool:
        """Tell whether the recipient would be lost.

        Raises:
            SettingsError: Which version wrapped it is not known.
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
    """Tell whether no other recipient is left that opens the file.

    A recipient whose key is destroyed, about to be, or not found does not count as left, nor one
    that its key does not unwrap; one whose key is disabled, kept offline or was not asked does.

    Raises:
        SettingsError: It cannot be told.
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
        f"it is not known which version of {key} wrapped it",
        hint="name the whole key; or ask with --version, the permission to unwrap, and without "
        "--offline",
    )

"""What a key wrapper may do beyond the contract: describe its key and its access, and sign.

An ability is a small protocol: a key wrapper that has its methods has the ability. ``status``
and ``doctor`` use the first two, a device whose key lives in a key service the third; no opening
and no save does, so that nothing here costs a start anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from .key_wrapper import Aad, WrappedDek

KeyState = Literal["enabled", "disabled", "pending-deletion", "destroyed", "unusable", "unknown"]
"""``enabled`` unwraps; ``disabled`` may be enabled again; ``pending-deletion`` can be saved until
its date; ``destroyed`` is lost; ``unusable`` is any other state that does not unwrap (expired,
import pending); ``unknown`` is what the service did not tell."""

KEY_STATES: tuple[KeyState, ...] = (
    "enabled",
    "disabled",
    "pending-deletion",
    "destroyed",
    "unusable",
    "unknown",
)

Need = Literal["open", "seal", "sign", "describe"]
"""What a permission is for: ``open`` a file, ``seal`` it under the key, ``sign`` with a device
key, ``describe`` the key."""

NEEDS: tuple[Need, ...] = ("open", "seal", "sign", "describe")


PUBLIC_KEY_ALGORITHMS = ("RSA", "HPKE", "ECIES", "ML-KEM")
"""Words in the name of a wrapping algorithm that takes no more than a public key."""


def is_public_key_algorithm(name: str) -> bool:
    """Tell from the name of a wrapping algorithm whether a public key is enough to wrap."""
    return any(word in name.upper() for word in PUBLIC_KEY_ALGORITHMS)


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """Hold what the provider says of a KEK, in words that are the same for all providers.

    Attributes:
        key_id: The KEK as it resolves now: no alias, the version included where one was named.
        state: Of this KEK, or of the version that was named.
        state_name: The provider's own word for it, ``PendingDeletion``.
        deletion: When it will be destroyed, in UTC, if that is planned.
        algorithm: The provider's name of the key's kind: ``SYMMETRIC_DEFAULT``, ``RSA_2048``.
        protection: The provider's name of where the key material is: ``HSM``, ``SOFTWARE``.
        current_version: The version or key material that the next wrap uses; None where the
            provider has no versions, or did not tell.
        rotation: How the provider rotates it by itself, in a few words; None where it does not.
        public: Whether wrapping takes no more than a public key, so that anyone who has it can
            make a whole envelope that this KEK opens.
    """

    key_id: str
    state: KeyState
    state_name: str | None = None
    deletion: datetime | None = None
    algorithm: str | None = None
    protection: str | None = None
    current_version: str | None = None
    rotation: str | None = None
    public: bool = False

    @property
    def shown_state(self) -> str:
        """The state, followed by the provider's word if that says more: ``enabled (expired)``."""
        word = self.state_name
        if word is None or self.state not in ("enabled", "unusable", "unknown"):
            return self.state
        return self.state if word.lower() == self.state else f"{self.state} ({word})"


@dataclass(frozen=True, slots=True)
class PermissionProbe:
    """Hold whether one permission is there, as a call that touches no user data told.

    Attributes:
        permission: The provider's own name of it: ``kms:Decrypt``.
        need: What it is for.
        granted: None where it cannot be told without using it.
        reason: One clause that says why it is missing or cannot be told.
        grant: What to paste into the provider's policy to grant it; no secret, and names the key.
    """

    permission: str
    need: Need
    granted: bool | None
    reason: str | None = None
    grant: str | None = None


@runtime_checkable
class DescribesKey(Protocol):
    """Tell the state and the versions of the KEK."""

    def describe_key(self) -> KeyDescription:
        """Ask the provider for the KEK's state and current version; changes nothing.

        Raises:
            KeyNotFoundError: The provider has no such key.
            ProviderError: It refused or failed.
        """
        ...

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:
        """Return the version or key material that wrapped a DEK, None where it cannot be told.

        It is comparable with ``current_version``. Where the wrapped DEK does not say it, the
        provider is asked, which may take an unwrap whose result is dropped.

        Raises:
            DecryptionError: The KEK did not wrap this DEK.
            ProviderError: The provider refused or failed.
        """
        ...


@runtime_checkable
class ProbesPermissions(Protocol):
    """Identify the caller to the provider, and list what that caller may do."""

    def describe_access(self) -> Mapping[str, str]:
        """Describe the caller and the place, as short labels: identity, region, tenant.

        No label is secret, and a label without a known value is left out. Settings of the
        environment that can interfere with the provider belong here, too.

        Raises:
            AuthenticationError: The provider does not know the caller.
            ProviderError: It refused or failed.
        """
        ...

    def probe_permissions(self) -> Sequence[PermissionProbe]:
        """Probe each permission that ksm-storage may need, without touching user data.

        Raises:
            ProviderError: It could not be asked at all; a refusal is a probe's answer and no error.
        """
        ...


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Hold the public half of a signing key, and the name that signs with exactly this key.

    Attributes:
        key_id: The key as it resolves now: no alias, with the version where the provider has
            versions. A rotation changes the key, so a device records this name.
        public_key: A P-256 public key, as the DER form of a SubjectPublicKeyInfo.
    """

    key_id: str
    public_key: bytes


@runtime_checkable
class CreatesSigningKey(Protocol):
    """Create the P-256 signing key that the name of this key wrapper means, for ``SignsDigest``."""

    def create_signing_key(self) -> str:
        """Create the key at the provider, and return the key id to open it by.

        A request that the provider may have carried out is not sent again.

        Raises:
            SettingsError: Only the provider names its keys, or their versions.
            KeyStateError: There is a key of this name.
            PermissionDeniedError: The caller may not; the error names the permission.
            ProviderError: The provider refused or failed.
        """
        ...


@runtime_checkable
class SignsDigest(Protocol):
    """Sign with a P-256 key that never leaves the provider: the device key of a client device."""

    def signing_key(self) -> SigningKey:
        """Ask the provider for the public key and the resolved name; changes nothing.

        Raises:
            KeyNotFoundError: The provider has no such key.
            KeyStateError: It is not a P-256 signing key.
            ProviderError: The provider refused or failed.
        """
        ...

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest with one call; return an ECDSA signature in its DER form.

        The key wrapper was opened by the ``key_id`` of :meth:`signing_key`. A request that the
        provider may have carried out is not sent again, so that no signature is made unseen.

        Args:
            digest: 32 bytes. They are signed as they are, not hashed again.

        Raises:
            SettingsError: The name leaves the version open.
            KeyStateError: The key is disabled, or not a P-256 signing key.
            ProviderError: The provider refused or failed.
        """
        ...

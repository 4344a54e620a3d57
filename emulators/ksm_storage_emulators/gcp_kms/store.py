"""All keys of an emulator, by name."""

from __future__ import annotations

import threading

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.gcp_kms.errors import GcpError
from ksm_storage_emulators.gcp_kms.keys import CryptoKey, State, Version, is_version, key_of


class Store:
    """Keys and key rings; `lock` is held during each operation."""

    def __init__(self, clock: MovableClock) -> None:
        """Start empty; pairs are generated at once."""
        self.generation_seconds = 0.0
        self.lock = threading.RLock()
        self._clock = clock
        self._keys: dict[str, CryptoKey] = {}

    def add(self, key: CryptoKey) -> None:
        """Keep a new key.

        Raises:
            GcpError: ALREADY_EXISTS.
        """
        if key.name in self._keys:
            raise GcpError("exists", kind="CryptoKey", resource=key.name)
        self._keys[key.name] = key
        if self.generation_seconds and "ASYMMETRIC" in key.purpose:
            for version in key.versions:
                version.state = State.PENDING_GENERATION
                version.generated_at = self._clock.now() + self.generation_seconds

    def key(self, name: str) -> CryptoKey:
        """Return a key by its own name or that of one of its versions.

        Raises:
            GcpError: NOT_FOUND.
        """
        key = self._keys.get(key_of(name))
        if key is None:
            raise GcpError("not found", kind="CryptoKey", resource=key_of(name))
        key.rotate_if_due(self._clock.now())
        for version in key.versions:
            version.settle(self._clock.now())
        return key

    def has_key(self, name: str) -> bool:
        """Say whether there is such a key."""
        return name in self._keys

    def version(self, name: str) -> Version:
        """Return a version.

        Raises:
            GcpError: NOT_FOUND.
        """
        for version in self.key(name).versions:
            if version.name == name:
                return version
        raise GcpError("not found", kind="CryptoKeyVersion", resource=name)

    def encrypting_version(self, name: str) -> Version:
        """Return the version named, or the primary of the key named.

        Raises:
            GcpError: NOT_FOUND, or FAILED_PRECONDITION without a primary.
        """
        if is_version(name):
            return self.version(name)
        key = self.key(name)
        if key.primary is None:
            raise GcpError("no primary", resource=name)
        return key.primary

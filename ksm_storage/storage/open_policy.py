"""What a caller requires of an envelope, checked each time one is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..audit.events import emit
from ..contract.key_uri import KeyUri
from ..envelope.model import Envelope, Header
from ..envelope.opening import Opened, candidates, check_context, open_envelope
from ..errors import KsmStorageError, SettingsError
from ..keys.discovery import resolve_key
from ..keys.kek import Kek, KekPool
from ..keys.setting_sources import Arguments, settings_file_expected

if TYPE_CHECKING:
    from ..envelope.hedging import OpenTimeouts
    from .rollback import RollbackPolicy


class OpenPolicy(NamedTuple):
    """Hold the trusted KEKs, the expected context and how KEKs are opened.

    Attributes:
        keys: The only KEKs that may be used, None for any.
        context: The exact context expected, None for any.
        arguments: Settings given by the caller, by provider or key URI.
        pool: Keeps KEKs open for many files; None opens them for each file.
        timeouts: How long the recipients may take, None for what their plugins allow.
        rollback: What is done about an older revision, None for the default: it is refused, and
            nothing is remembered beyond the life of a storage.
    """

    keys: tuple[KeyUri, ...] | None
    context: Mapping[str, str] | None
    arguments: Arguments | None
    pool: KekPool | None = None
    timeouts: OpenTimeouts | None = None
    rollback: RollbackPolicy | None = None

    @classmethod
    def from_args(
        cls,
        keys: Sequence[str | KeyUri] | None,
        context: Mapping[str, str] | None,
        arguments: Arguments | None,
        *,
        pool: KekPool | None = None,
    ) -> OpenPolicy:
        """Read what a caller gave, and the user's choice about older revisions.

        Raises:
            SettingsError: A key is invalid, the list is empty, or the policy for older revisions
                is invalid.
        """
        read = None if keys is None else read_keys(keys)
        return cls(read, context, arguments, pool, rollback=_rollback_policy())

    def with_timeout(
        self, timeout_seconds: float | None, hedge_seconds: float | None
    ) -> OpenPolicy:
        """Return the same policy with a bound in time, where the caller gave one.

        Raises:
            SettingsError: A number is not a valid time.
        """
        if timeout_seconds is None and hedge_seconds is None:
            return self
        from ..envelope.hedging import OpenTimeouts

        return self._replace(timeouts=OpenTimeouts.of(timeout_seconds, hedge_seconds))

    def check(self, envelope: Envelope, *, newest: int = 0, path: str | None = None) -> None:
        """Refuse an envelope that is not the one expected; makes no network call.

        Args:
            envelope: The envelope.
            newest: The newest revision of it that the caller has seen, or 0.
            path: The file, for messages.

        Raises:
            DecryptionError: It has another context, or no trusted recipient.
            RollbackError: A newer revision was seen, and the policy is to refuse.
        """
        check_context(envelope, self.context)
        candidates(envelope.header.recipients, self.keys)
        self._check_revision(envelope.header, newest, path)

    def open(self, envelope: Envelope, *, newest: int = 0, path: str | None = None) -> Opened:
        """Open an envelope through a trusted recipient, and remember its revision if configured.

        Args:
            envelope: The envelope.
            newest: The newest revision of it that the caller has seen, or 0.
            path: The file, for messages and the audit sinks.

        Raises:
            RollbackError: A newer revision was seen, and the policy is to refuse.
            KsmStorageError: It does not open.
        """
        # with_envelope reports this refusal to the sinks: another process may have
        # saved a newer version since, and then there was nothing to refuse.
        self._check_revision(envelope.header, newest, path)
        try:
            opened = open_envelope(
                envelope,
                trusted=self.keys,
                context=self.context,
                open_kek=self.open_kek,
                timeouts=self.timeouts,
            )
        except KsmStorageError as exc:
            emit("refused", path=path, header=envelope.header, error=exc)
            raise
        self.remember_opened(envelope.header)
        emit("opened", path=path, header=envelope.header, keys=[opened.recipient.key])
        return opened

    def remember_opened(self, header: Header) -> None:
        """Remember a revision that was authenticated, where the user wants that.

        Raises:
            StorageError: It cannot be remembered, and the policy is to refuse.
        """
        if self.rollback is not None:
            self.rollback.opened(header)

    def remember_saved(self, header: Header) -> None:
        """Remember a revision that was written, where the user wants that; never raises."""
        if self.rollback is not None:
            self.rollback.saved(header)

    def open_kek(self, key: KeyUri) -> Kek:
        """Open one KEK, from the pool if there is one; makes no network call."""
        return Kek.open(key, self.arguments) if self.pool is None else self.pool.open(key)

    def _check_revision(self, header: Header, newest: int, path: str | None) -> None:
        if self.rollback is None and header.revision >= newest:
            return
        # Loaded only where a memory is configured, or an older revision was found.
        from .rollback import RollbackPolicy

        (self.rollback or RollbackPolicy()).check(header, newest=newest, path=path)


def read_keys(keys: Sequence[str | KeyUri]) -> tuple[KeyUri, ...]:
    """Read the keys that a caller gave.

    Raises:
        SettingsError: One is not a key, or the list is empty.
    """
    if isinstance(keys, (str, KeyUri)):
        keys = [keys]
    read = tuple(read_key(key) for key in keys)
    if not read:
        raise SettingsError("the list of keys is empty", hint="name a key, or pass keys=None")
    return read


def read_key(key: object) -> KeyUri:
    """Read one key that a caller gave: a URI, or a provider's native key name.

    Raises:
        SettingsError: It is neither.
    """
    if isinstance(key, KeyUri):
        return key
    if not isinstance(key, str):
        raise SettingsError(f"a key must be a string, not {type(key).__name__}")
    return resolve_key(key)


def _rollback_policy() -> RollbackPolicy | None:
    names = ("KSM_STORAGE_ROLLBACK", "KSM_STORAGE_SEEN")
    if not any(os.environ.get(name) for name in names) and not settings_file_expected():
        return None
    from .rollback import configured_policy

    return configured_policy()

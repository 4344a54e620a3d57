"""What a caller requires of an envelope, checked each time one is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..audit.events import emit
from ..contract.key_wrapper import KeyUri
from ..envelope.model import Envelope
from ..envelope.opening import Opened, candidates, check_context, covers, open_envelope
from ..errors import KsmStorageError, SettingsError
from ..keys.discovery import OFFLINE, resolve_key
from ..keys.kek import Kek, KekPool
from ..keys.setting_sources import (
    Arguments,
    current_command_memory,
    policy_expected,
    settings_file_expected,
)
from ..named_tuple import NamedTuple

if TYPE_CHECKING:
    from ..envelope.hedging import OpenTimeouts
    from ..keys.dek_cache import DekCache
    from ..keys.trust_rules import TrustRule
    from .continuity import Continuity


_VARIABLES = ("TRUST", "CONTEXT", "CONTINUITY", "MEMORY")


class OpenPolicy(NamedTuple):
    """Hold the trusted KEKs, the expected context and how KEKs are opened.

    Attributes:
        keys: The only KEKs that may be used, None for any.
        context: The exact context expected, None for any.
        arguments: Settings given by the caller, by provider or key URI.
        pool: Keeps KEKs open for many files; None opens them for each file.
        timeouts: How long the recipients may take, None for what their plugins allow.
        rules: What the machine, the user and the environment require besides.
        cache: Where data keys are kept for the next starts, None to ask the key services.
    """

    keys: tuple[KeyUri, ...] | None
    context: Mapping[str, str] | None
    arguments: Arguments | None
    pool: KekPool | None = None
    timeouts: OpenTimeouts | None = None
    rules: tuple[TrustRule, ...] = ()
    cache: DekCache | None = None

    @classmethod
    def from_args(
        cls,
        keys: Sequence[str | KeyUri] | None,
        context: Mapping[str, str] | None,
        arguments: Arguments | None,
        *,
        pool: KekPool | None = None,
    ) -> OpenPolicy:
        """Read what a caller gave, and the rules from outside the code.

        Raises:
            SettingsError: A key is invalid, the list is empty, or a rule is invalid.
        """
        read = None if keys is None else read_keys(keys)
        return cls(read, context, arguments, pool, rules=_rules())

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

    def with_cache(self) -> OpenPolicy:
        """Return the same policy for a start that reads: with the cache, where it is turned on.

        Raises:
            SettingsError: A setting of the cache is invalid.
        """
        # Most starts have none, and do not pay for reading one.
        if (
            os.environ.get("KSM_STORAGE_CACHE")
            or "cache" in (self.arguments or {})
            or settings_file_expected()
        ):
            from ..keys.dek_cache import configured_cache

            return self._replace(cache=configured_cache(self.arguments))
        return self

    def without_memory(self) -> OpenPolicy:
        """Return one whose rules compare no file with an earlier one, and record none."""
        return self._replace(rules=tuple(rule._replace(memory=None) for rule in self.rules))

    def unattended(self, envelope: Envelope) -> OpenPolicy:
        """Return one that asks nobody for a recovery secret."""
        if self.keys is not None:
            return self
        keys = (recipient.key for recipient in envelope.header.recipients)
        return self._replace(keys=tuple(key for key in keys if key.provider not in OFFLINE))

    def check(self, envelope: Envelope, *, path: str | None = None) -> None:
        """Refuse an envelope that is not the one expected; makes no network call.

        Args:
            envelope: The envelope.
            path: The file, for its rules, its record and messages.

        Raises:
            DecryptionError: It has another context, or no trusted recipient.
            ContinuityError: It breaks the record of the path, and the action is to refuse.
        """
        check_context(envelope, self.context)
        header, rules = envelope.header, self.rules_for(path)
        for rule in rules:
            rule.check_context(header.context)
        candidates(header.recipients, self.keys, required=rules)
        self._continuity(rules, envelope, path)

    def open(self, envelope: Envelope, *, path: str | None = None) -> Opened:
        """Open an envelope through a trusted recipient, and record it if that is configured.

        Args:
            envelope: The envelope.
            path: The file, for its rules, its record, messages and the audit sinks.

        Raises:
            ContinuityError: It breaks the record of the path, and the action is to refuse.
            KsmStorageError: It does not open.
        """
        # What this refuses is told to the sinks by who read the file: another process may have
        # saved a newer version since, and then there was nothing to refuse.
        self._continuity(self.rules_for(path), envelope, path)
        return self.open_checked(envelope, path=path)

    def open_checked(self, envelope: Envelope, *, path: str | None = None) -> Opened:
        """Open an envelope that :meth:`check` has accepted; see :meth:`open`.

        Raises:
            ContinuityError: It breaks the record of the path, and the action is to refuse.
            KsmStorageError: It does not open.
        """
        header, rules = envelope.header, self.rules_for(path)
        continuity = self._continuity(rules, None, path)
        try:
            for rule in rules:
                rule.check_context(header.context)
            opened = open_envelope(
                envelope,
                trusted=self.keys,
                required=rules,
                context=self.context,
                open_kek=self.open_kek,
                timeouts=self.timeouts,
                cache=None if self.cache is None else self.cache.within(rules),
            )
        except KsmStorageError as exc:
            emit("refused", path=path, header=header, error=exc)
            raise
        if continuity is not None:
            from .continuity import name_of

            continuity.accept(envelope, opened.dek, name_of(path, header))
        emit("opened", path=path, header=header, keys=[opened.recipient.key], cached=opened.cached)
        return opened

    def rules_for(self, path: str | None) -> tuple[TrustRule, ...]:
        """Return the rules that apply to a file, or to what comes from no file."""
        return tuple(rule for rule in self.rules if rule.applies_to(path))

    def require_allowed(self, keys: Iterable[KeyUri], *, path: str | None) -> None:
        """Refuse to make a key a recipient of a file whose rules do not trust it (T9).

        Raises:
            SettingsError: A rule lists other keys.
        """
        for rule in self.rules_for(path):
            for key in keys:
                if rule.keys is not None and not any(covers(each, key) for each in rule.keys):
                    raise SettingsError(
                        f"a trust rule in {rule.source} does not allow the key {str(key)!r}",
                        hint="add the key to the rule, or use one that it lists",
                    )

    def accept(self, envelope: Envelope, dek: bytes, *, path: str | None) -> None:
        """Record an envelope that was checked, and whose DEK is known.

        Raises:
            ContinuityError: It breaks the record, and the action is to refuse.
            StorageError: It cannot be recorded, and the action is to refuse.
        """
        continuity = self._continuity(self.rules_for(path), None, path)
        if continuity is not None:
            from .continuity import name_of

            continuity.accept(envelope, dek, name_of(path, envelope.header))

    def remember_saved(
        self, envelope: Envelope, dek: bytes, *, path: str | None, is_new: bool = False
    ) -> None:
        """Record what was written, where that is configured; never raises."""
        continuity = self._continuity(self.rules_for(path), None, path)
        if continuity is not None:
            from .continuity import name_of

            continuity.saved(envelope, dek, name_of(path, envelope.header), is_new=is_new)

    def open_kek(self, key: KeyUri) -> Kek:
        """Open one KEK, from the pool if there is one; makes no network call."""
        return Kek.open(key, self.arguments) if self.pool is None else self.pool.open(key)

    def require_unrecorded(self, path: str) -> None:
        """Refuse a file that is not sealed at a path where an envelope is recorded.

        Raises:
            ContinuityError: There is a record, and the action is to refuse.
        """
        continuity = self._continuity(self.rules_for(path), None, path)
        if continuity is not None:
            continuity.require_none(os.path.abspath(path))

    def continuity(self, path: str | None) -> Continuity:
        """Return where the record of a file is kept, and what is done where it is broken."""
        from ..keys.trust_rules import strictest
        from .continuity import continuity_of

        rules = self.rules_for(path)
        folders = (rule.memory for rule in rules if rule.memory is not None)
        return continuity_of(strictest(rule.continuity for rule in rules), folders)

    def _continuity(
        self, rules: Sequence[TrustRule], envelope: Envelope | None, path: str | None
    ) -> Continuity | None:
        # Loaded for who asks for a memory only: it costs the others nothing (C9).
        if not any(rule.memory is not None for rule in rules) and current_command_memory() is None:
            return None
        found = self.continuity(path)
        if envelope is not None:
            from .continuity import name_of

            found.check(envelope, name_of(path, envelope.header))
        return found


def _rules() -> tuple[TrustRule, ...]:
    # Most machines have no rule at all, and do not pay for reading one.
    if (
        policy_expected()
        or settings_file_expected()
        or any(os.environ.get(f"KSM_STORAGE_{name}") for name in _VARIABLES)
    ):
        from ..keys.trust_rules import all_rules

        return all_rules()
    return ()


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

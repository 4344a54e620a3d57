"""What a caller trusts and expects of an envelope, checked each time one is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..audit.events import emit
from ..discovery import resolve_key
from ..envelope.model import Envelope
from ..envelope.opening import Opened, candidates, check_context, open_envelope
from ..errors import KsmStorageError, SettingsError
from ..kek import Kek
from ..key_uri import KeyUri
from ..setting_sources import Arguments

if TYPE_CHECKING:
    from ..envelope.trying import Pace


class Trust(NamedTuple):
    """Hold the trusted KEKs, the expected context and the settings for the plugins.

    Attributes:
        keys: The only KEKs that may be used, None for any.
        context: The exact context expected, None for any.
        arguments: Settings given by the caller, by provider or key URI.
        pace: How long the recipients may take, None for what their plugins allow.
    """

    keys: tuple[KeyUri, ...] | None
    context: Mapping[str, str] | None
    arguments: Arguments | None
    pace: Pace | None = None

    @classmethod
    def of(
        cls,
        keys: Sequence[str | KeyUri] | None,
        context: Mapping[str, str] | None,
        arguments: Arguments | None,
    ) -> Trust:
        """Read what a caller gave.

        Raises:
            SettingsError: A key is not the name of one, or the list is empty.
        """
        return cls(None if keys is None else _read(keys), context, arguments)

    def within(self, timeout_seconds: float | None, hedge_seconds: float | None) -> Trust:
        """Return the same trust with a bound in time, where the caller gave one.

        Raises:
            SettingsError: A number is no time.
        """
        if timeout_seconds is None and hedge_seconds is None:
            return self
        from ..envelope.trying import Pace

        return self._replace(pace=Pace.of(timeout_seconds, hedge_seconds))

    def check(self, envelope: Envelope) -> None:
        """Refuse an envelope of another context or under no trusted KEK; calls no network.

        Raises:
            DecryptionError: It is one of these.
        """
        check_context(envelope, self.context)
        candidates(envelope.header.recipients, self.keys)

    def open(self, envelope: Envelope, *, path: str | None = None) -> Opened:
        """Open an envelope through a trusted recipient; the path is for the audit sinks."""
        try:
            opened = open_envelope(
                envelope,
                trusted=self.keys,
                context=self.context,
                arguments=self.arguments,
                pace=self.pace,
            )
        except KsmStorageError as exc:
            emit("refused", path=path, header=envelope.header, error=exc)
            raise
        emit("opened", path=path, header=envelope.header, keys=[opened.recipient.key])
        return opened

    def open_keks(self) -> list[Kek]:
        """Open the trusted KEKs to wrap under each of them; calls no network."""
        return [Kek.open(key, self.arguments) for key in self.keys or ()]


def read_key(key: object) -> KeyUri:
    """Read one key that a caller gave: a URI, or a provider's own name of it."""
    if isinstance(key, KeyUri):
        return key
    if not isinstance(key, str):
        raise SettingsError(f"a key is named by a string, not by {type(key).__name__}")
    return resolve_key(key)


def _read(keys: Sequence[str | KeyUri]) -> tuple[KeyUri, ...]:
    if isinstance(keys, (str, KeyUri)):
        keys = [keys]
    read = tuple(read_key(key) for key in keys)
    if not read:
        raise SettingsError("the list of keys is empty", hint="name a key, or pass keys=None")
    return read

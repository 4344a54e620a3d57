"""Which recipients to add, remove and replace, as a caller named them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..contract.key_uri import KeyUri
from ..envelope.model import Recipient
from ..envelope.opening import covers
from ..errors import SettingsError
from .open_policy import read_key
from .proven_wraps import refuse_only_offline

Replacements = Mapping[str | KeyUri, str | KeyUri]


class RecipientChanges(NamedTuple):
    """Hold what is to become of the recipients; applied again, it changes nothing more.

    Attributes:
        add: Keys that will open the file.
        remove: Keys that will not.
        replace: Pairs of a key and the one that takes its place; the same key twice wraps anew
            under its current version.
    """

    add: tuple[KeyUri, ...]
    remove: tuple[KeyUri, ...]
    replace: tuple[tuple[KeyUri, KeyUri], ...]

    @classmethod
    def of(
        cls,
        add: Sequence[str | KeyUri],
        remove: Sequence[str | KeyUri],
        replace: Replacements,
    ) -> RecipientChanges:
        """Read what a caller gave.

        Raises:
            SettingsError: A key is not the name of one, nothing is to change, or a key is to be
                added and removed.
        """
        changes = cls(
            tuple(read_key(key) for key in _listed(add)),
            tuple(read_key(key) for key in _listed(remove)),
            tuple((read_key(old), read_key(new)) for old, new in replace.items()),
        )
        if not any(changes):
            raise SettingsError("no key is to be added, removed or replaced")
        coming = {*changes.add, *(new for _, new in changes.replace)}
        for key in changes.remove:
            if key in coming:
                raise SettingsError(f"the key {key} is to be added and to be removed")
        return changes

    def to_wrap(self, recipients: Sequence[Recipient]) -> list[KeyUri]:
        """Return the keys under which the DEK must be wrapped; no key service is asked.

        Raises:
            SettingsError: A key to replace is none of the recipients, nor is its replacement.
        """
        wanted = [key for key in self.add if not _named(key, recipients)]
        for old, new in self.replace:
            if _named(old, recipients):
                wanted.append(new)
            elif not _named(new, recipients):
                raise SettingsError(
                    f"the key {old} is no recipient and cannot be replaced",
                    hint="name it as 'ksm-storage inspect' shows it",
                )
        return list(dict.fromkeys(wanted))

    def applied(
        self, recipients: Sequence[Recipient], wraps: Mapping[KeyUri, Recipient]
    ) -> tuple[Recipient, ...]:
        """Return the new recipients in order: a replacement stands where the old key stood.

        Raises:
            SettingsError: None would be left, or only keys that are kept offline.
        """
        result: dict[KeyUri, Recipient] = {}
        for recipient in recipients:
            new = self._replacement(recipient)
            if new is not None:
                result.setdefault(wraps[new].key, wraps[new])
            elif not _names_any(self.remove, recipient):
                result[recipient.key] = recipient
        for key in self.add:
            if key in wraps:
                # Another name of a key that is there is found out by wrapping; it stays as it is.
                result.setdefault(wraps[key].key, wraps[key])
        if not result:
            raise SettingsError(
                "the last key of a file cannot be removed",
                hint="replace it, or export the configuration first",
            )
        refuse_only_offline(list(result))
        return tuple(result.values())

    def _replacement(self, recipient: Recipient) -> KeyUri | None:
        return next((new for old, new in self.replace if names(old, recipient)), None)


def names(key: KeyUri, recipient: Recipient) -> bool:
    """Tell whether a key's name certainly means this recipient: its own, or without the version.

    An alias does not: it may stand for any key, which only the key service could tell.
    """
    if key == recipient.key:
        return True
    whole = f"{key.key_id.rstrip('/')}/"
    return recipient.key.key_id.startswith(whole) and covers(key, recipient.key)


def _named(key: KeyUri, recipients: Sequence[Recipient]) -> bool:
    return any(names(key, recipient) for recipient in recipients)


def _names_any(keys: Sequence[KeyUri], recipient: Recipient) -> bool:
    return any(names(key, recipient) for key in keys)


def _listed(keys: Sequence[str | KeyUri]) -> Sequence[str | KeyUri]:
    return [keys] if isinstance(keys, (str, KeyUri)) else keys

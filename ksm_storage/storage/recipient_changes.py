"""Which recipients to add, remove and replace, as a caller named them, and by which version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..contract.key_wrapper import KeyUri
from ..envelope.model import Recipient
from ..envelope.opening import covers
from ..envelope.sealing import refuse_only_offline
from ..errors import SettingsError
from ..keys.discovery import OFFLINE, find_plugin
from .open_policy import read_key

Replacements = Mapping[str | KeyUri, str | KeyUri]


class RecipientChanges(NamedTuple):
    """Hold the changes to the recipients; applied again, they change nothing more.

    Attributes:
        add: Keys that will open the file.
        remove: Keys that will not.
        replace: Pairs of a key and its replacement; the same key twice wraps it again
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
            SettingsError: A key is invalid, there is nothing to change, or a key is both added and
                removed.
        """
        changes = cls(
            tuple(read_key(key) for key in _listed(add)),
            tuple(read_key(key) for key in _listed(remove)),
            tuple((read_key(old), read_key(new)) for old, new in replace.items()),
        )
        if not any(changes):
            raise SettingsError("no key to add, remove or replace")
        coming = {*changes.add, *(new for _, new in changes.replace)}
        for key in changes.remove:
            if key in coming:
                raise SettingsError(f"cannot both add and remove the key {key}")
        return changes

    def to_wrap(self, recipients: Sequence[Recipient]) -> list[KeyUri]:
        """Return the keys under which the DEK must be wrapped; no key service is asked.

        Raises:
            SettingsError: Neither a key to replace nor its replacement is a recipient.
        """
        wanted = [key for key in self.add if not _named(key, recipients)]
        for old, new in self.replace:
            if _named(old, recipients):
                wanted.append(new)
            elif not _named(new, recipients):
                raise SettingsError(
                    f"cannot replace the key {old}: it is not a recipient",
                    hint="write it as it stands in the file, which has: "
                    + ", ".join(str(recipient.key) for recipient in recipients),
                )
        return list(dict.fromkeys(wanted))

    def applied(
        self, recipients: Sequence[Recipient], wraps: Mapping[KeyUri, Recipient]
    ) -> tuple[Recipient, ...]:
        """Return the new recipients in order; a replacement takes the old key's place.

        Raises:
            SettingsError: None would be left, or only offline keys.
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
                # Only wrapping shows that a name is an alias of a recipient, which then stays.
                result.setdefault(wraps[key].key, wraps[key])
        if not result:
            raise SettingsError(
                "cannot remove the last key of a file",
                hint="replace it instead, or export the configuration first",
            )
        refuse_only_offline(list(result))
        return tuple(result.values())

    def following_rotations(self, recipients: Sequence[Recipient]) -> RecipientChanges:
        """Return the changes with the newest version for a key that replaces itself.

        Raises:
            PluginError: No usable plugin serves such a key.
        """
        own = {recipient.key: recipient for recipient in recipients}
        return self._replace(
            replace=tuple(
                (old, newest_version(own[old]) if old == new and old in own else new)
                for old, new in self.replace
            )
        )

    def _replacement(self, recipient: Recipient) -> KeyUri | None:
        return next((new for old, new in self.replace if names(old, recipient)), None)


def newest_version(recipient: Recipient) -> KeyUri:
    """Return the key that wraps with the newest version of a recipient's KEK; no network call.

    Raises:
        PluginError: No usable plugin serves the provider.
    """
    key = recipient.key
    return find_plugin(key.provider).newest_version(key, recipient.algorithm, recipient.ciphertext)


def names(key: KeyUri, recipient: Recipient) -> bool:
    """Tell whether a key's name certainly means this recipient: its own, or without the version.

    An alias does not: it may name any key, which only the key service knows.
    """
    if key == recipient.key:
        return True
    if key.provider in OFFLINE:
        # No key service stands behind it: its public key covers it, and is never an alias.
        return covers(key, recipient.key)
    whole = f"{key.key_id.rstrip('/')}/"
    return recipient.key.key_id.startswith(whole) and covers(key, recipient.key)


def _named(key: KeyUri, recipients: Sequence[Recipient]) -> bool:
    return any(names(key, recipient) for recipient in recipients)


def _names_any(keys: Sequence[KeyUri], recipient: Recipient) -> bool:
    return any(names(key, recipient) for key in keys)


def _listed(keys: Sequence[str | KeyUri]) -> Sequence[str | KeyUri]:
    return [keys] if isinstance(keys, (str, KeyUri)) else keys

"""The keys by which recipients are wrapped anew: the newest version, not the one that wrapped."""

from __future__ import annotations

from collections.abc import Sequence

from ..contract.key_uri import KeyUri
from ..envelope.model import Recipient
from ..keys.discovery import find_plugin
from .recipient_changes import RecipientChanges


def newest_of(recipient: Recipient) -> KeyUri:
    """Return the key by which the newest version of a recipient's KEK wraps; no network.

    Raises:
        PluginError: No usable plugin serves the provider.
    """
    return find_plugin(recipient.key.provider).newest_version(recipient.key, recipient.algorithm)


def following_rotations(
    changes: RecipientChanges, recipients: Sequence[Recipient]
) -> RecipientChanges:
    """Return the changes with a key that replaces itself by its newest version.

    Raises:
        PluginError: No usable plugin serves such a key.
    """
    replace = tuple((old, _replacement(old, new, recipients)) for old, new in changes.replace)
    return changes._replace(replace=replace)


def _replacement(old: KeyUri, new: KeyUri, recipients: Sequence[Recipient]) -> KeyUri:
    own = next((recipient for recipient in recipients if recipient.key == old == new), None)
    return new if own is None else newest_of(own)

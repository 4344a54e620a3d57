"""Tables of the settings file that nothing reads: mistyped ones, or of a plugin not installed."""

from __future__ import annotations

from ..audit.configuration import TABLE as AUDIT
from ..errors import SettingsError
from ..keys.entry_points import find_entry_points
from ..keys.setting_sources import table_names
from ..storage.rollback import TABLE as ROLLBACK


def unread_tables() -> list[str]:
    """Return the names of tables that are no installed provider's, no key's of one, and not ours.

    A file that cannot be read has none; the finding about a key says why.
    """
    try:
        names = table_names()
    except SettingsError:
        return []
    installed = {entry.name for entry in find_entry_points()}
    return sorted(
        name
        for name in names
        if name not in (AUDIT, ROLLBACK) and name.partition("://")[0] not in installed
    )

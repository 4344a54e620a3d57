"""Variables of the environment that look like ours and that nothing reads: mistyped ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import KsmStorageError
from ..keys.discovery import find_plugin
from ..keys.entry_points import find_entry_points
from ..keys.setting_sources import environment_name

PREFIX = "KSM_STORAGE_"

# What is read by the core itself; a test holds this to the sources.
READ = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("AUDIT_FILE", "AUDIT_SINKS", "CONFIG", "ROLLBACK", "SEEN", "SETTINGS"),
        *("TRACEBACK", "VAULT_DATA", "VAULT_OWNER"),
    )
)


def unread_variables(environment: Iterable[str], examined: Iterable[str]) -> list[str]:
    """Return the names that begin as ours do, and are none that is read.

    Args:
        environment: The names of the variables that are set.
        examined: The providers whose plugins may be loaded to ask for their options. What
            begins with the name of another installed provider is taken for one of its options.
    """
    asked = {provider: _options(provider) for provider in examined}
    prefixes = {
        environment_name(entry.name, ""): asked.get(entry.name) for entry in find_entry_points()
    }
    return sorted(
        name
        for name in environment
        if name.startswith(PREFIX) and name not in READ and not _is_option(name, prefixes)
    )


def _options(provider: str) -> frozenset[str] | None:
    try:
        options = find_plugin(provider).options()
    except KsmStorageError:
        # It cannot be asked, which the finding about its key says.
        return None
    return frozenset(environment_name(provider, option.name) for option in options)


def _is_option(name: str, prefixes: Mapping[str, frozenset[str] | None]) -> bool:
    return any(
        name.startswith(prefix) and (options is None or name in options)
        for prefix, options in prefixes.items()
    )

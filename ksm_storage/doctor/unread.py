"""Settings that nothing reads: mistyped variables, and tables of plugins that are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import KsmStorageError, SettingsError
from ..keys.discovery import DISTRIBUTIONS, find_entry_points, find_plugin
from ..keys.setting_sources import environment_name, settings_tables

PREFIX = "KSM_STORAGE_"

# Read by the core itself; a test compares this list with the sources.
READ = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("AUDIT_FILE", "AUDIT_SINKS", "CONFIG", "CONTEXT", "CONTINUITY", "MEMORY"),
        *("CACHE", "CACHE_KEYRING"),
        *("SETTINGS", "TRUST"),
        *("RELAY_STATE", "TRACEBACK", "VAULT_DATA", "VAULT_OWNER"),
    )
)


def unread_variables(environment: Iterable[str], examined: Iterable[str]) -> list[str]:
    """Return the names that have our prefix and that nothing reads.

    Args:
        environment: The names of the variables that are set.
        examined: The providers whose plugins may be loaded for their options. A variable with the
            prefix of another installed provider is assumed to be one of its options.
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
        # The finding about its key reports that the plugin cannot be loaded.
        return None
    return frozenset(environment_name(provider, option.name) for option in options)


def _is_option(name: str, prefixes: Mapping[str, frozenset[str] | None]) -> bool:
    return any(
        name.startswith(prefix) and (options is None or name in options)
        for prefix, options in prefixes.items()
    )


def unread_tables() -> list[str]:
    """Return the tables of known providers, or their keys, that are not installed.

    Empty if the file cannot be read; the finding about a key reports why. Any other unknown table
    is an error of the trust rules.
    """
    try:
        names = settings_tables()
    except SettingsError:
        return []
    installed = {entry.name for entry in find_entry_points()}
    return sorted(
        name
        for name in names
        if (provider := name.partition("://")[0]) in DISTRIBUTIONS and provider not in installed
    )

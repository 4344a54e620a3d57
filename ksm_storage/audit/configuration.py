"""Which sinks the environment and the user's settings file name; an envelope never does."""

from __future__ import annotations

import os
from typing import NamedTuple

from ..errors import SettingsError
from ..keys.setting_sources import file_table
from .events import FILE_VARIABLE, SINKS_VARIABLE

TABLE = "audit"

_OPTIONS = {"file", "sinks"}


class SinkNames(NamedTuple):
    """Hold the path of the built-in sink's file, and the names of sinks that plugins offer."""

    file: str | None
    plugins: tuple[str, ...]


def configured_sinks() -> SinkNames:
    """Return the sinks to tell; a variable goes before the settings file's table ``[audit]``.

    Raises:
        SettingsError: The settings file is not to be trusted, or has another option.
    """
    table = file_table(TABLE)
    unknown = sorted(set(table) - _OPTIONS)
    if unknown:
        raise SettingsError(
            f"the table [{TABLE}] of the settings file has no option {unknown[0]!r}",
            hint="its options are: file, sinks",
        )
    file = os.environ.get(FILE_VARIABLE) or table.get("file")
    named = os.environ.get(SINKS_VARIABLE)
    plugins = named.split(",") if named else table.get("sinks", [])
    if not isinstance(file, (str, type(None))) or not isinstance(plugins, list):
        raise SettingsError(f"an option of the table [{TABLE}] has the wrong type")
    return SinkNames(
        file or None, tuple(str(name).strip() for name in plugins if str(name).strip())
    )

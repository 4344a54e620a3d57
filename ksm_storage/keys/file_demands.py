"""What a trust rule demands of sealed files for ``status --check``; openings do not look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import SettingsError

TABLE = "trust.status"


@dataclass(frozen=True, slots=True)
class FileDemands:
    """Hold the demands; one that is not given is not checked.

    Attributes:
        minimum_recipients: How many keys, at least, must be able to open the file.
        maximum_dek_age_days: Maximum age of the DEK; ``rekey`` makes a new one.
        maximum_sealed_age_days: Maximum days since the payload was last sealed.
        allow_public_keys: Whether to allow recipients that anyone with the public key can forge.
        require_enabled: Whether each recipient's key must be known to be enabled.
        require_current_version: Whether each DEK must be wrapped under the key's current version.
        maximum_mode: The widest file mode allowed.
    """

    minimum_recipients: int | None = None
    maximum_dek_age_days: int | None = None
    maximum_sealed_age_days: int | None = None
    allow_public_keys: bool = True
    require_enabled: bool = False
    require_current_version: bool = False
    maximum_mode: int | None = None

    def as_text(self) -> Iterator[str]:
        """Yield each demand that was made, in the form of the file."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value != each.default:
                shown = f'"{value:04o}"' if each.name == "maximum_mode" else str(value).lower()
                yield f"{each.name} = {shown}"


def read_demands(table: object, source: str) -> FileDemands:
    """Read the table ``status`` of a rule.

    Raises:
        SettingsError: A demand is unknown or invalid, or the table is empty.
    """
    if not isinstance(table, dict):
        raise _invalid("status", "a table", source)
    unknown = sorted(set(table) - set(_READERS))
    # Every file would pass an empty table, which nobody intends.
    if unknown or not table:
        problem = f"has an unknown field: {unknown[0]!r}" if unknown else "is empty"
        raise SettingsError(
            f"[{TABLE}] of a rule in {source!r} {problem}",
            hint=f"the fields are: {', '.join(_READERS)}",
        )
    read: dict[str, Any] = {
        name: _READERS[name](value, name, source) for name, value in table.items()
    }
    return FileDemands(**read)


def _count(value: object, name: str, source: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _invalid(name, "a whole number of at least 1", source)
    return value


def _flag(value: object, name: str, source: str) -> bool:
    if not isinstance(value, bool):
        raise _invalid(name, "true or false", source)
    return value


def _mode(value: object, name: str, source: str) -> int:
    try:
        mode = int(value, 8) if isinstance(value, str) else -1
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise _invalid(name, 'an octal mode, such as "0600"', source)
    return mode


def _invalid(name: str, wanted: str, source: str) -> SettingsError:
    return SettingsError(f"{name!r} in [{TABLE}] of {source!r} must be {wanted}")


_READERS: Mapping[str, Callable[[object, str, str], object]] = {
    "minimum_recipients": _count,
    "maximum_dek_age_days": _count,
    "maximum_sealed_age_days": _count,
    "allow_public_keys": _flag,
    "require_enabled": _flag,
    "require_current_version": _flag,
    "maximum_mode": _mode,
}

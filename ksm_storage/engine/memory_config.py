"""A configuration in memory, for what comes from an environment variable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum

from ..errors import SettingsError
from ..wire.base64_forms import from_base64


class MemoryConfig:
    """Keep a configuration in memory; what is set is lost with the process."""

    def __init__(self, config: Mapping[str, str] | None = None) -> None:
        self._values: dict[str, str] = dict(config or {})

    def __repr__(self) -> str:
        return f"MemoryConfig({sorted(self._values)})"

    def read_storage(self) -> dict[str, str]:
        """Return a copy of all values."""
        return dict(self._values)

    def save_storage(self, updated_config: Mapping[str, str]) -> None:
        """Replace all values."""
        self._values = dict(updated_config)

    def get(self, key: object) -> str | None:
        """Return the value, or None."""
        return self._values.get(_name(key))

    def set(self, key: object, value: str) -> dict[str, str]:
        """Store the value and return all values."""
        self._values[_name(key)] = value
        return self.read_storage()

    def delete(self, key: object) -> dict[str, str]:
        """Remove the value if it is there and return all values."""
        self._values.pop(_name(key), None)
        return self.read_storage()

    def delete_all(self) -> dict[str, str]:
        """Remove all values."""
        self._values.clear()
        return {}

    def contains(self, key: object) -> bool:
        """Tell whether the value is there."""
        return _name(key) in self._values

    def is_empty(self) -> bool:
        """Tell whether there is no value at all."""
        return not self._values


def config_from_text(text: str) -> MemoryConfig:
    """Return the configuration of a JSON object, plain or in base64, as KSM_CONFIG holds it.

    Raises:
        SettingsError: Neither of them; the message repeats nothing of it.
    """
    try:
        plain = text if text.lstrip().startswith("{") else from_base64(text.strip()).decode()
        values = json.loads(plain)
    except (ValueError, RecursionError) as exc:
        raise SettingsError("KSM_CONFIG holds neither JSON nor JSON in base64") from exc
    if not isinstance(values, dict):
        raise SettingsError("KSM_CONFIG does not hold a JSON object")
    return MemoryConfig({name: value for name, value in values.items() if isinstance(value, str)})


def _name(key: object) -> str:
    return str(key.value) if isinstance(key, Enum) else str(key)

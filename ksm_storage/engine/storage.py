"""Key-value storages without a key service: in memory, and a plain JSON file.

Names and behaviour are those of the official package. A sealed configuration comes from
``ksm_storage.open_storage`` instead, which any client takes in the place of these.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import stat
import tempfile
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

from ..errors import StorageError
from ..wire.base64_forms import from_base64
from ..wire.json_objects import parse_object
from . import late_errors as errors
from .device import is_true

_ENVELOPE_START = b"ksm-storage"
# The logger of the official package, which programs configure by this name.
_log = logging.getLogger("ksm")


@runtime_checkable
class KeyValueStorage(Protocol):
    """Offer the eight methods of a storage; inherit from it or have the same methods."""

    def read_storage(self) -> Mapping[str, object]:
        """Return all values by their JSON names."""
        return {}

    def save_storage(self, updated_config: Mapping[str, str], /) -> object:
        """Replace all values."""

    def get(self, key: object, /) -> object:
        """Return the value, or None."""

    def set(self, key: object, value: str | None, /) -> object:
        """Store the value; remove it if it is None."""

    def delete(self, key: object, /) -> object:
        """Remove the value if it is there."""

    def delete_all(self) -> object:
        """Remove all values."""

    def contains(self, key: object, /) -> bool:
        """Tell whether the value is there."""
        return self.get(key) is not None

    def is_empty(self) -> bool:
        """Tell whether the storage has no values."""
        return not self.read_storage()


class InMemoryKeyValueStorage(KeyValueStorage):
    """Keep a configuration in memory; changes are lost with the process.

    Args:
        config: A mapping, or the text of KSM_CONFIG: JSON, or JSON in base64.
    """

    def __init__(self, config: Mapping[str, object] | str | None = None) -> None:
        given = _values_of(config) if isinstance(config, str) else config or {}
        self._values = _as_texts(given)

    def __repr__(self) -> str:
        return f"InMemoryKeyValueStorage({sorted(self._values)})"

    def read_storage(self) -> dict[str, str]:
        """Return a copy of all values."""
        return dict(self._values)

    def save_storage(self, updated_config: Mapping[str, object], /) -> None:
        """Replace all values."""
        self._values = _as_texts(updated_config)

    def get(self, key: object, /) -> str | None:
        """Return the value, or None."""
        return self._values.get(name_of(key))

    def set(self, key: object, value: str | None, /) -> None:
        """Store the value; remove it if it is None."""
        if value is None:
            self.delete(key)
            return
        self._values[name_of(key)] = str(value)

    def delete(self, key: object, /) -> None:
        """Remove the value if it is there."""
        self._values.pop(name_of(key), None)

    def delete_all(self) -> None:
        """Remove all values."""
        self._values.clear()

    def contains(self, key: object, /) -> bool:
        """Tell whether the value is there."""
        return name_of(key) in self._values


def name_of(key: object) -> str:
    """Return the JSON name of a key: a plain string, or a member of either enum."""
    return str(key.value) if isinstance(key, Enum) else str(key)


def _as_texts(values: Mapping[str, object]) -> dict[str, str]:
    # A configuration written by hand may have a number in the place of the key id.
    return {name_of(key): str(value) for key, value in values.items() if value is not None}


def _values_of(text: str) -> dict[str, object]:
    try:
        plain = text if text.lstrip().startswith("{") else from_base64(text.strip())
        return parse_object(plain)
    except ValueError:
        # Not from it: the parser's error holds the text.
        raise errors.ClientSettingsError(
            "Could not load config data: neither JSON nor JSON in base64"
        ) from None


class FileKeyValueStorage(KeyValueStorage):
    """Keep a configuration in a plain JSON file, with mode 0600, replaced as a whole.

    Anyone who can read the file can use the client device: prefer ``ksm_storage.open_storage``.
    """

    default_config_file_location = "client-config.json"

    def __init__(self, config_file_location: str | os.PathLike[str] | None = None) -> None:
        chosen = config_file_location or os.environ.get("KSM_CONFIG_FILE")
        self.default_config_file_location = os.fspath(chosen or self.default_config_file_location)

    def __repr__(self) -> str:
        return f"FileKeyValueStorage({self.default_config_file_location!r})"

    def read_storage(self) -> dict[str, str]:
        """Return all values; empty if the file does not exist.

        Raises:
            StorageError: The file cannot be read.
            ClientSettingsError: It is not a JSON object.
        """
        path = Path(self.default_config_file_location)
        try:
            content = path.read_bytes()
            _warn_if_too_open(path)
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise StorageError(f"cannot read {str(path)!r}: {exc.strerror}") from exc
        if content.startswith(_ENVELOPE_START):
            raise errors.ClientSettingsError(
                f"{str(path)!r} is encrypted by ksm-storage",
                hint="pass config=ksm_storage.open_storage(...)",
            )
        try:
            return _as_texts(parse_object(content))
        except ValueError:
            raise errors.ClientSettingsError(
                f"{str(path)!r} may contain JSON format problems or is not utf-8 encoded"
            ) from None

    def save_storage(self, updated_config: Mapping[str, str], /) -> None:
        """Replace the file; on failure the old one stays, whole."""
        text = json.dumps(dict(updated_config), indent=4, sort_keys=True)
        path = Path(self.default_config_file_location)
        try:
            replace_file(path, text.encode())
        except OSError as exc:
            raise StorageError(f"cannot write {str(path)!r}: {exc.strerror}") from exc

    def create_config_file_if_missing(self) -> None:
        """Create an empty configuration unless there is a file."""
        if not os.path.lexists(self.default_config_file_location):
            self.save_storage({})

    def get(self, key: object, /) -> str | None:
        """Return the value, or None."""
        return self.read_storage().get(name_of(key))

    def set(self, key: object, value: str | None, /) -> dict[str, str]:
        """Store the value, or remove it if it is None, and return all values."""
        if value is None:
            return self.delete(key)
        values = {**self.read_storage(), name_of(key): value}
        self.save_storage(values)
        return values

    def delete(self, key: object, /) -> dict[str, str]:
        """Remove the value if it is there and return all values."""
        values = self.read_storage()
        if values.pop(name_of(key), None) is not None:
            self.save_storage(values)
        return values

    def delete_all(self) -> dict[str, str]:
        """Remove all values."""
        self.save_storage({})
        return {}

    def contains(self, key: object, /) -> bool:
        """Tell whether the value is there."""
        return name_of(key) in self.read_storage()


def replace_file(path: Path, content: bytes) -> None:
    """Write the file with mode 0600 under another name and rename it; raise OSError."""
    # Root may rename over /dev/null, and then every program of the machine writes to our file.
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file")
    # mkstemp makes the file with mode 0600 and a name that nobody could have put there before.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, os.path.realpath(path))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _warn_if_too_open(path: Path) -> None:
    skipped = ("KSM_CONFIG_SKIP_MODE", "KSM_CONFIG_SKIP_MODE_WARNING")
    if any(is_true(os.environ.get(name)) for name in skipped) or os.name == "nt":
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        _log.warning("the mode %04o of %r is too open; run chmod 600", mode, str(path))

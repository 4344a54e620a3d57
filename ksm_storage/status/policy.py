"""What an operator demands of sealed files, read from a small TOML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import SettingsError

_SIZE_LIMIT = 65_536


@dataclass(frozen=True, slots=True)
class Policy:
    """Hold the rules; what is not given is not demanded.

    Attributes:
        allowed_keys: Patterns (``*``, ``?``) of which each recipient's URI must match one.
        minimum_recipients: So many keys must be able to open the file.
        maximum_dek_age_days: The DEK must not be older; ``rekey`` makes a new one.
        maximum_sealed_age_days: The payload must have been sealed since.
        allow_public_keys: Whether a recipient may be one that anyone with a public key can forge.
        require_enabled: Whether each recipient's key must be known to be enabled.
        require_current_version: Whether each DEK must be wrapped under the current version.
        required_context: Labels that the context must have; the value ``*`` stands for any.
        maximum_mode: Permission bits that the file may have, in octal.
    """

    allowed_keys: tuple[str, ...] | None = None
    minimum_recipients: int | None = None
    maximum_dek_age_days: int | None = None
    maximum_sealed_age_days: int | None = None
    allow_public_keys: bool = True
    require_enabled: bool = False
    require_current_version: bool = False
    required_context: Mapping[str, str] = field(default_factory=dict)
    maximum_mode: int | None = None

    @property
    def asks_key_services(self) -> bool:
        """Whether a rule needs what only the key services know."""
        return self.require_enabled or self.require_current_version


def read_policy(path: str) -> Policy:
    """Read a policy file.

    Raises:
        SettingsError: It cannot be read, is no TOML, or has a rule that is unknown or unusable.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as exc:
        raise SettingsError(f"cannot read the policy {path!r}: {exc.strerror}") from exc
    if len(raw) > _SIZE_LIMIT:
        raise SettingsError(f"the policy {path!r} is larger than {_SIZE_LIMIT} bytes")
    try:
        rules = _toml(raw.decode("utf-8"))
    except ValueError as exc:
        raise SettingsError(f"the policy {path!r} is not valid TOML") from exc
    known = [each.name for each in fields(Policy)]
    for name in rules:
        if name not in known:
            raise SettingsError(
                f"the policy {path!r} has no rule {name!r}",
                hint=f"the rules are: {', '.join(known)}",
            )
    # An empty policy would be kept by every file, which nobody means.
    if not rules:
        raise SettingsError(
            f"the policy {path!r} has no rules", hint=f"the rules are: {', '.join(known)}"
        )
    read: dict[str, Any] = {name: _READERS[name](value, name) for name, value in rules.items()}
    return Policy(**read)


def _toml(text: str) -> Mapping[str, object]:
    import tomllib

    parsed: Mapping[str, object] = tomllib.loads(text)
    return parsed


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _unusable(name, "a whole number from 1")
    return value


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise _unusable(name, "true or false")
    return value


def _patterns(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise _unusable(name, "a list of key URIs, where * stands for anything")
    return tuple(value)


def _labels(value: object, name: str) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _unusable(name, "a table of labels and their values")
    return value


def _mode(value: object, name: str) -> int:
    try:
        mode = int(value, 8) if isinstance(value, str) else -1
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise _unusable(name, 'an octal mode, such as "0600"')
    return mode


def _unusable(name: str, wanted: str) -> SettingsError:
    return SettingsError(f"the rule {name!r} must be {wanted}")


_READERS: Mapping[str, Callable[[object, str], object]] = {
    "allowed_keys": _patterns,
    "minimum_recipients": _count,
    "maximum_dek_age_days": _count,
    "maximum_sealed_age_days": _count,
    "allow_public_keys": _flag,
    "require_enabled": _flag,
    "require_current_version": _flag,
    "required_context": _labels,
    "maximum_mode": _mode,
}

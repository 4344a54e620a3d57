"""What an operator demands of sealed files, read from a small TOML file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..keys.known_providers import OFFLINE
from .file_status import FileStatus
from .key_facts import RecipientStatus

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


def broken_rules(policy: Policy, status: FileStatus, *, now: datetime) -> list[str]:
    """Return a clause for each way in which the file breaks the policy; empty if it keeps it.

    What a rule needs to know and nobody told breaks it: silence is no consent.
    """
    return [*_of_file(policy, status, now), *_of_recipients(policy, status)]


def _of_file(policy: Policy, status: FileStatus, now: datetime) -> Iterator[str]:
    count, wanted = len(status.recipients), policy.minimum_recipients
    if wanted is not None and count < wanted:
        yield f"has {count} of the {wanted} recipients that it must have"
    ages = (
        ("its DEK", status.created, policy.maximum_dek_age_days),
        ("its sealing", status.sealed, policy.maximum_sealed_age_days),
    )
    for what, since, days in ages:
        if days is not None and now - since > timedelta(days=days):
            yield f"{what} is {(now - since).days} days old, more than {days}"
    for name, value in policy.required_context.items():
        given = status.context.get(name)
        if given is None:
            yield f"has no label {name!r} in its context"
        elif value not in ("*", given):
            yield f"has the label {name}={given}, not {name}={value}"
    if policy.maximum_mode is not None and status.mode & ~policy.maximum_mode:
        yield f"has the mode {status.mode:04o}, wider than {policy.maximum_mode:04o}"


def _of_recipients(policy: Policy, status: FileStatus) -> Iterator[str]:
    for recipient in status.recipients:
        for clause in _of_recipient(policy, recipient):
            yield f"{recipient.recipient.key} {clause}"


def _of_recipient(policy: Policy, recipient: RecipientStatus) -> Iterator[str]:
    uri = str(recipient.recipient.key)
    allowed = policy.allowed_keys
    if allowed is not None and not any(fnmatchcase(uri, pattern) for pattern in allowed):
        yield "is not among the allowed keys"
    if recipient.is_public and not policy.allow_public_keys:
        yield "can be forged by anyone who has its public key"
    # Nobody who is asked could tell the state of a key that is kept offline.
    is_askable = recipient.recipient.key.provider not in OFFLINE
    if policy.require_enabled and is_askable and recipient.state != "enabled":
        yield f"is {recipient.state}, not enabled"
    if policy.require_current_version and recipient.is_current is False:
        current = recipient.key and recipient.key.current_version
        yield f"was used in the version {recipient.version}, not the current {current}"
    elif policy.require_current_version and _has_untold_version(recipient):
        yield "did not tell which of its versions was used"


def _has_untold_version(recipient: RecipientStatus) -> bool:
    if recipient.key is None:
        return True
    # A provider that names no current version has none.
    return recipient.key.current_version is not None and recipient.is_current is None

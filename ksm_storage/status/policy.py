"""Rules for sealed files, read from a TOML file, and the check of a file against them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..contract.redaction import shown_argument
from ..errors import SettingsError
from ..keys.known_providers import OFFLINE
from ..keys.setting_sources import parse_toml
from .file_status import FileStatus
from .key_facts import RecipientStatus

_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Policy:
    """Hold the rules; a rule that is not given is not checked.

    Attributes:
        allowed_keys: Patterns (``*``, ``?``); each recipient's URI must match one of them.
        minimum_recipients: How many keys, at least, must be able to open the file.
        maximum_dek_age_days: Maximum age of the DEK; ``rekey`` makes a new one.
        maximum_sealed_age_days: Maximum days since the payload was last sealed.
        allow_public_keys: Whether to allow recipients that anyone with the public key can forge.
        require_enabled: Whether each recipient's key must be known to be enabled.
        require_current_version: Whether each DEK must be wrapped under the key's current version.
        required_context: Labels that the context must have; the value ``*`` matches any value.
        maximum_mode: The widest file mode allowed, in octal.
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
        """Whether a rule needs an answer from the key services."""
        return self.require_enabled or self.require_current_version


def read_policy(path: str) -> Policy:
    """Read a policy file.

    Raises:
        SettingsError: It cannot be read, is not valid TOML, or has an unknown or invalid rule.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as exc:
        raise SettingsError(
            f"cannot read the policy {shown_argument(path)}: {exc.strerror}"
        ) from exc
    if len(raw) > _MAX_BYTES:
        raise SettingsError(f"the policy {path!r} is larger than {_MAX_BYTES} bytes")
    rules = parse_toml(raw, name=f"the policy {path!r}")
    known = [each.name for each in fields(Policy)]
    for name in rules:
        if name not in known:
            raise SettingsError(
                f"unknown rule {name!r} in the policy {path!r}",
                hint=f"the rules are: {', '.join(known)}",
            )
    # Every file would pass an empty policy, which nobody intends.
    if not rules:
        raise SettingsError(
            f"the policy {path!r} is empty", hint=f"the rules are: {', '.join(known)}"
        )
    read: dict[str, Any] = {name: _READERS[name](value, name) for name, value in rules.items()}
    return Policy(**read)


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _unusable(name, "a whole number of at least 1")
    return value


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise _unusable(name, "true or false")
    return value


def _patterns(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise _unusable(name, "a list of key URIs; * matches anything")
    return tuple(value)


def _labels(value: object, name: str) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _unusable(name, "a table of labels with string values")
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
    """Return a clause for each broken rule; empty if the file complies with the policy.

    A rule is broken, too, if the fact it needs is unknown.
    """
    return [*_of_file(policy, status, now), *_of_recipients(policy, status)]


def _of_file(policy: Policy, status: FileStatus, now: datetime) -> Iterator[str]:
    count, wanted = len(status.recipients), policy.minimum_recipients
    if wanted is not None and count < wanted:
        yield f"has {count} of the {wanted} required recipients"
    ages = (
        ("its data key", status.created, policy.maximum_dek_age_days),
        ("its last save", status.sealed, policy.maximum_sealed_age_days),
    )
    for what, since, days in ages:
        if days is not None and now - since > timedelta(days=days):
            yield f"{what} is {(now - since).days} days old; the maximum is {days}"
    for name, value in policy.required_context.items():
        given = status.context.get(name)
        if given is None:
            yield f"its context has no label {name!r}"
        elif value not in ("*", given):
            yield f"its context has {name}={given}, not {name}={value}"
    if policy.maximum_mode is not None and status.mode & ~policy.maximum_mode:
        yield f"its mode {status.mode:04o} is wider than {policy.maximum_mode:04o}"


def _of_recipients(policy: Policy, status: FileStatus) -> Iterator[str]:
    for recipient in status.recipients:
        for clause in _of_recipient(policy, recipient):
            yield f"{recipient.recipient.key} {clause}"


def _of_recipient(policy: Policy, recipient: RecipientStatus) -> Iterator[str]:
    uri = str(recipient.recipient.key)
    allowed = policy.allowed_keys
    if allowed is not None and not any(fnmatchcase(uri, pattern) for pattern in allowed):
        yield "is not an allowed key"
    if recipient.is_public and not policy.allow_public_keys:
        yield "can be forged by anyone who has its public key"
    # No service knows the state of a key that is kept offline.
    is_online = recipient.recipient.key.provider not in OFFLINE
    if policy.require_enabled and is_online and recipient.state != "enabled":
        yield f"is {recipient.state}, not enabled"
    if policy.require_current_version and recipient.is_current is False:
        current = recipient.key and recipient.key.current_version
        yield f"wrapped with version {recipient.version}, not with the current {current}"
    elif policy.require_current_version and _has_unknown_version(recipient):
        yield "did not report which version wrapped the data key"


def _has_unknown_version(recipient: RecipientStatus) -> bool:
    if recipient.key is None:
        return True
    # A provider that reports no current version has no versions.
    return recipient.key.current_version is not None and recipient.is_current is None

"""The check of a sealed file against trust rules, those for ``status`` included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from ..contract.redaction import shown_argument
from ..envelope.opening import covers
from ..errors import SettingsError
from ..keys.discovery import OFFLINE
from ..keys.file_demands import FileDemands
from ..keys.trust_rules import MAX_POLICY_BYTES, TABLE, TrustRule, parse_rules
from .file_status import FileStatus
from .key_facts import RecipientStatus


def read_policy(path: str) -> Sequence[TrustRule]:
    """Read a file of trust rules, which has the form of the machine's policy.

    Raises:
        SettingsError: It cannot be read, is not valid TOML, has an unknown or invalid field, or
            no rule.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as exc:
        raise SettingsError(
            f"cannot read the policy {shown_argument(path)}: {exc.strerror}"
        ) from exc
    if len(raw) > MAX_POLICY_BYTES:
        raise SettingsError(f"the policy {path!r} is larger than {MAX_POLICY_BYTES} bytes")
    rules = parse_rules(raw, source=path)
    if not rules:
        raise SettingsError(
            f"the policy {path!r} has no rule",
            hint=f"write [[{TABLE}]] tables; docs/trust-rules.md has their fields",
        )
    return rules


def broken_rules(rules: Sequence[TrustRule], status: FileStatus, *, now: datetime) -> list[str]:
    """Return a clause for each demand that the file does not meet; empty if it meets them all.

    A demand fails, too, if the fact it needs is unknown; a file to which no rule applies fails.
    """
    found = [rule for rule in rules if rule.applies_to(status.path)]
    if not found:
        return ["no rule of the policy applies to it"]
    return [clause for rule in found for clause in _broken(rule, status, now)]


def _broken(rule: TrustRule, status: FileStatus, now: datetime) -> Iterator[str]:
    for name, value in rule.context.items():
        given = status.context.get(name)
        if given is None:
            yield f"its context has no label {name!r}"
        elif given != value:
            yield f"its context has {name}={given}, not {name}={value}"
    demands = rule.status or FileDemands()
    yield from _of_file(demands, status, now)
    for recipient in status.recipients:
        uri = recipient.recipient.key
        if rule.keys is not None and not any(covers(key, uri) for key in rule.keys):
            yield f"{uri} is not a trusted key"
        for clause in _of_recipient(demands, recipient):
            yield f"{uri} {clause}"


def _of_file(demands: FileDemands, status: FileStatus, now: datetime) -> Iterator[str]:
    count, wanted = len(status.recipients), demands.minimum_recipients
    if wanted is not None and count < wanted:
        yield f"has {count} of the {wanted} required recipients"
    ages = (
        ("its data key", status.created, demands.maximum_dek_age_days),
        ("its last save", status.sealed, demands.maximum_sealed_age_days),
    )
    for what, since, days in ages:
        if days is not None and now - since > timedelta(days=days):
            yield f"{what} is {(now - since).days} days old; the maximum is {days}"
    if demands.maximum_mode is not None and status.mode & ~demands.maximum_mode:
        yield f"its mode {status.mode:04o} is wider than {demands.maximum_mode:04o}"


def _of_recipient(demands: FileDemands, recipient: RecipientStatus) -> Iterator[str]:
    if recipient.is_public and not demands.allow_public_keys:
        yield "can be forged by anyone who has its public key"
    # No service knows the state of a key that is kept offline.
    is_online = recipient.recipient.key.provider not in OFFLINE
    if demands.require_enabled and is_online and recipient.state != "enabled":
        yield f"is {recipient.state}, not enabled"
    if demands.require_current_version and recipient.is_current is False:
        current = recipient.key and recipient.key.current_version
        yield f"wrapped with version {recipient.version}, not with the current {current}"
    elif demands.require_current_version and _has_unknown_version(recipient):
        yield "did not report which version wrapped the data key"


def _has_unknown_version(recipient: RecipientStatus) -> bool:
    if recipient.key is None:
        return True
    # A provider that reports no current version has no versions.
    return recipient.key.current_version is not None and recipient.is_current is None

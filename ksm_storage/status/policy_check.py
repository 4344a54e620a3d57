"""Hold a file against a policy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from ..keys.known_providers import is_offline
from .file_status import FileStatus, RecipientStatus
from .policy import Policy


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
    is_askable = not is_offline(recipient.recipient.key.provider)
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

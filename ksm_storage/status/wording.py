"""A file's status in lines that a person reads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ..envelope.codec import format_time
from .file_status import FileStatus, RecipientStatus


def lines_of(status: FileStatus, *, now: datetime) -> Iterator[str]:
    """Yield one line for the file, and an indented one for each recipient."""
    facts = [
        f"revision {status.revision}",
        f"DEK {_age(status.created, now)}",
        f"sealed {_age(status.sealed, now)}",
        f"mode {status.mode:04o}",
        *(f"{name}={value}" for name, value in status.context.items()),
    ]
    yield f"{status.path}: {', '.join(facts)}"
    for recipient in status.recipients:
        yield f"  {recipient.recipient.key}: {', '.join(_facts(recipient))}"


def _facts(recipient: RecipientStatus) -> Iterator[str]:
    yield _state(recipient)
    key = recipient.key
    if recipient.is_current:
        yield f"version {recipient.version}"
    elif recipient.version is not None and key is not None:
        yield f"version {recipient.version}, now {key.current_version or 'unknown'}"
    if key is not None and key.rotation is not None:
        yield f"rotates {key.rotation}"
    yield recipient.recipient.algorithm
    if recipient.is_public:
        yield "can be forged with its public key"
    if recipient.problem is not None:
        yield recipient.problem.message


def _state(recipient: RecipientStatus) -> str:
    key = recipient.key
    if key is None:
        return "not asked" if recipient.problem is None else "unknown"
    if key.deletion is not None:
        return f"{key.state} until {format_time(key.deletion)}"
    if key.state in ("unusable", "unknown") and key.state_name is not None:
        return f"{key.state} ({key.state_name})"
    return key.state


def _age(since: datetime, now: datetime) -> str:
    days = (now - since).days
    if days < 1:
        return "today"
    return "1 day old" if days == 1 else f"{days} days old"

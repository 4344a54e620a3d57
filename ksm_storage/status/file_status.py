"""The state of one sealed file, as data and as text for a person."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from ..contract.key_wrapper import KeyUri
from ..envelope.codec import decode, format_time, parse_time, wrap_aad
from ..envelope.model import Envelope
from ..errors import (
    DecryptionError,
    EnvelopeError,
    KsmStorageError,
    SettingsError,
)
from ..files.reading import not_found, resolved
from ..storage.encrypted_storage import DEVICE_KEY
from ..storage.open_policy import OpenPolicy
from ..storage.snapshot import document_of, read_envelope
from .key_facts import KeyFacts, RecipientStatus

# What says that the file itself is wrong; any other error says so of its keys.
_ALTERED = (DecryptionError, EnvelopeError)


@dataclass(frozen=True, slots=True)
class DeviceKeyStatus:
    """Hold what the provider says of a device key, or why it does not."""

    key: str
    state: str
    problem: KsmStorageError | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        problem = self.problem.as_dict() if self.problem else None
        return {"key": self.key, "state": self.state, "problem": problem}


@dataclass(frozen=True, slots=True)
class FileStatus:
    """Hold what is known about a sealed file.

    Attributes:
        path: As it was given.
        mode: The file's permission bits.
        created: When the DEK was made.
        sealed: When the payload was last sealed.
        verified: Whether the file opened, which authenticates all that its header says.
        problem: Why it did not open, although that was tried.
        device_keys: The device keys in key services that its configurations name.
    """

    path: str
    mode: int
    envelope_id: bytes
    created: datetime
    sealed: datetime
    revision: int
    context: Mapping[str, str]
    recipients: tuple[RecipientStatus, ...]
    verified: bool = False
    problem: KsmStorageError | None = None
    device_keys: tuple[DeviceKeyStatus, ...] = ()

    @property
    def exit_code(self) -> int:
        """The error's exit code if the file proved damaged or altered, else 0."""
        return self.problem.exit_code if isinstance(self.problem, _ALTERED) else 0

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return {
            "path": self.path,
            "mode": f"{self.mode:04o}",
            "envelope_id": self.envelope_id.hex(),
            "created": format_time(self.created),
            "sealed": format_time(self.sealed),
            "revision": self.revision,
            "context": dict(self.context),
            "recipients": [recipient.as_dict() for recipient in self.recipients],
            "device_keys": [key.as_dict() for key in self.device_keys],
            "verified": self.verified,
            "problem": self.problem.as_dict() if self.problem else None,
        }


def examine(path: str, facts: KeyFacts | None, policy: OpenPolicy | None = None) -> FileStatus:
    """Return the status of a sealed file, without changing anything.

    Args:
        path: The file; symbolic links are followed.
        facts: Queries the key services; None to read the header only.
        policy: Opens the file, with one unwrap, to authenticate its header; None to trust it.

    Raises:
        StorageError, EnvelopeError: It cannot be read, or is not an envelope.
    """
    real = resolved(path)
    try:
        found = read_envelope(real)
    except FileNotFoundError as exc:
        raise not_found(path) from exc
    envelope = decode(found.content)
    header = envelope.header
    if facts is None:
        recipients = tuple(RecipientStatus(recipient) for recipient in header.recipients)
    else:
        aad = wrap_aad(header.envelope_id, header.generation, header.context)
        recipients = tuple(facts.of(recipient, aad=aad) for recipient in header.recipients)
    problem, payload = (None, None) if policy is None else _opened(envelope, policy, real)
    device_keys = () if facts is None or payload is None else _device_keys(payload, facts)
    return FileStatus(
        path=path,
        mode=stat.S_IMODE(found.status.st_mode),
        envelope_id=header.envelope_id,
        created=parse_time(header.created),
        sealed=parse_time(header.sealed),
        revision=header.revision,
        context=header.context,
        recipients=recipients,
        verified=policy is not None and problem is None,
        problem=problem,
        device_keys=device_keys,
    )


def _device_keys(payload: bytes, facts: KeyFacts) -> tuple[DeviceKeyStatus, ...]:
    configs = document_of(payload).profiles.values()
    names = dict.fromkeys(name for each in configs if (name := each.get(DEVICE_KEY)))
    return tuple(_device_key(name, facts) for name in names)


def _device_key(name: str, facts: KeyFacts) -> DeviceKeyStatus:
    try:
        description, problem = facts.describe(KeyUri.parse(name))
    except SettingsError as exc:
        return DeviceKeyStatus(name, "unknown", exc)
    return DeviceKeyStatus(name, description.state if description else "unknown", problem)


def _opened(
    envelope: Envelope, policy: OpenPolicy, path: str
) -> tuple[KsmStorageError | None, bytes | None]:
    """Open an envelope; return its payload, or the error if it does not open."""
    try:
        return None, policy.unattended(envelope).open(envelope, path=path).payload
    except KsmStorageError as exc:
        return exc, None


def lines_of(status: FileStatus, *, now: datetime) -> Iterator[str]:
    """Yield one line for the file, and an indented one for each recipient."""
    facts = [
        f"revision {status.revision}",
        f"DEK {_age(status.created, now)}",
        f"sealed {_age(status.sealed, now)}",
        f"mode {status.mode:04o}",
        *(f"{name}={value}" for name, value in status.context.items()),
    ]
    if not status.verified:
        facts.append("header not verified")
    yield f"{status.path}: {', '.join(facts)}"
    if status.problem is not None and status.exit_code:
        yield f"  does not open: {status.problem.message}"
    for recipient in status.recipients:
        yield f"  {recipient.recipient.key}: {', '.join(_facts(recipient))}"
    for device_key in status.device_keys:
        why = f", {device_key.problem.message}" if device_key.problem else ""
        yield f"  device key {device_key.key}: {device_key.state}{why}"


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
        yield "forgeable with its public key"
    if recipient.problem is not None:
        yield recipient.problem.message


def _state(recipient: RecipientStatus) -> str:
    key = recipient.key
    if key is None:
        return "not queried" if recipient.problem is None else "unknown"
    if key.deletion is not None:
        return f"{key.state} until {format_time(key.deletion)}"
    return key.shown_state


def _age(since: datetime, now: datetime) -> str:
    days = (now - since).days
    if days < 1:
        return "today"
    return "1 day old" if days == 1 else f"{days} days old"

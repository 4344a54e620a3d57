"""What the key services report about each recipient's KEK; each KEK is queried once."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..batch.provider_queue import ServiceNeededError
from ..contract.abilities import KeyDescription, is_public_key_algorithm
from ..contract.key_wrapper import Aad, KeyUri
from ..envelope.codec import format_time
from ..envelope.model import Recipient
from ..envelope.opening import covers, wrapped_dek
from ..errors import KsmStorageError
from ..keys.discovery import COMPUTED, OFFLINE
from ..keys.kek import KekPool
from ..keys.kek_abilities import describe_key, wrapping_version


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """Hold what is known about a recipient.

    Attributes:
        recipient: As the header has it.
        key: The provider's description of the KEK; None if not queried or not answered.
        version: The version or key material that wrapped the DEK, if known.
        problem: Why ``key`` or ``version`` is unknown although the provider was queried.
    """

    recipient: Recipient
    key: KeyDescription | None = None
    version: str | None = None
    problem: KsmStorageError | None = None

    @property
    def state(self) -> str:
        """The state of the KEK, ``unknown`` if the provider did not report it."""
        return "unknown" if self.key is None else self.key.state

    @property
    def is_current(self) -> bool | None:
        """Whether the DEK is wrapped under the KEK's current version; None if unknown."""
        if self.key is None or self.version is None or self.key.current_version is None:
            return None
        return self.version == self.key.current_version

    @property
    def is_public(self) -> bool:
        """Whether anyone with the public key can create an envelope that this KEK opens."""
        described = self.key is not None and self.key.public
        return described or is_public_key_algorithm(self.recipient.algorithm)

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        key = self.key
        return {
            "key": str(self.recipient.key),
            "algorithm": self.recipient.algorithm,
            "state": self.state,
            "state_name": key and key.state_name,
            "deletion": format_time(key.deletion) if key and key.deletion else None,
            "protection": key and key.protection,
            "rotation": key and key.rotation,
            "version": self.version,
            "current_version": key and key.current_version,
            "is_current": self.is_current,
            "public": self.is_public,
            "problem": self.problem.as_dict() if self.problem else None,
        }


@dataclass(slots=True)
class _Fact:
    lock: threading.Lock = field(default_factory=threading.Lock)
    known: bool = False
    description: KeyDescription | None = None
    problem: KsmStorageError | None = None


class KeyFacts:
    """Describe recipients. Thread-safe; each KEK is described by one call, whatever the files.

    Args:
        keks: The open KEKs.
        trusted: The only KEKs that may be queried; None allows any that a file names.
    """

    def __init__(self, keks: KekPool, trusted: Sequence[KeyUri] | None = None) -> None:
        self._keks = keks
        self._trusted = trusted
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._facts: dict[KeyUri, _Fact] = {}

    def of(self, recipient: Recipient, *, aad: Aad) -> RecipientStatus:
        """Return what the recipient's provider reports; a failure is part of the result."""
        uri = self._name_to_query(recipient.key)
        if uri is None:
            return RecipientStatus(recipient)
        description, problem = self.describe(uri)
        if description is None:
            return RecipientStatus(recipient, problem=problem)
        try:
            with self._keks.open(uri) as kek:
                version = wrapping_version(kek, wrapped_dek(recipient), aad=aad)
        except KsmStorageError as exc:
            return RecipientStatus(recipient, description, problem=exc)
        return RecipientStatus(recipient, description, version)

    def describe(self, uri: KeyUri) -> tuple[KeyDescription | None, KsmStorageError | None]:
        """Return the provider's description of a KEK, or the error that prevented one.

        Raises:
            ServiceNeededError: A service is to be queried in a copy of the process, which would
                query it once more and could ask for a PIN beside the others.
        """
        if uri.provider not in COMPUTED | OFFLINE and os.getpid() != self._process:
            raise ServiceNeededError
        with self._lock:
            fact = self._facts.setdefault(uri, _Fact())
        with fact.lock:
            if not fact.known:
                try:
                    with self._keks.open(uri) as kek:
                        fact.description = describe_key(kek)
                except KsmStorageError as exc:
                    fact.problem = exc
                fact.known = True
            return fact.description, fact.problem

    def _name_to_query(self, key: KeyUri) -> KeyUri | None:
        if self._trusted is None or key in self._trusted:
            return key
        return next((name for name in self._trusted if covers(name, key)), None)

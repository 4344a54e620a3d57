"""Ask each key service about a KEK once, however many files are under it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..contract.aad import Aad
from ..contract.abilities import KeyDescription
from ..contract.key_uri import KeyUri
from ..envelope.model import Recipient
from ..envelope.opening import covers
from ..errors import KsmStorageError
from ..keys.kek import Kek, SharedKeks
from ..keys.kek_abilities import describe_key, wrapping_version
from .file_status import RecipientStatus


@dataclass(slots=True)
class _Fact:
    lock: threading.Lock = field(default_factory=threading.Lock)
    known: bool = False
    description: KeyDescription | None = None
    problem: KsmStorageError | None = None


class KeyFacts:
    """Describe recipients; safe across threads, and each KEK is described by one call.

    Args:
        keks: Arguments for the plugins, and the KEKs that are open.
        trusted: The only KEKs that may be asked; any that a file names if None.
    """

    def __init__(self, keks: SharedKeks, trusted: Sequence[KeyUri] | None = None) -> None:
        self._keks = keks
        self._trusted = trusted
        self._lock = threading.Lock()
        self._facts: dict[KeyUri, _Fact] = {}

    def of(self, recipient: Recipient, *, aad: Aad) -> RecipientStatus:
        """Return what the recipient's provider says; a failure is part of it."""
        uri = self._name_to_ask(recipient.key)
        if uri is None:
            return RecipientStatus(recipient)
        description, problem = self.describe(uri)
        if description is None:
            return RecipientStatus(recipient, problem=problem)
        try:
            with Kek.open(uri, self._keks) as kek:
                version = wrapping_version(kek, recipient.wrapped, aad=aad)
        except KsmStorageError as exc:
            return RecipientStatus(recipient, description, problem=exc)
        return RecipientStatus(recipient, description, version)

    def describe(self, uri: KeyUri) -> tuple[KeyDescription | None, KsmStorageError | None]:
        """Return the provider's description of a KEK, or why there is none."""
        with self._lock:
            fact = self._facts.setdefault(uri, _Fact())
        with fact.lock:
            if not fact.known:
                try:
                    with Kek.open(uri, self._keks) as kek:
                        fact.description = describe_key(kek)
                except KsmStorageError as exc:
                    fact.problem = exc
                fact.known = True
            return fact.description, fact.problem

    def _name_to_ask(self, key: KeyUri) -> KeyUri | None:
        if self._trusted is None or key in self._trusted:
            return key
        return next((name for name in self._trusted if covers(name, key)), None)

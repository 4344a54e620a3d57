"""Decide which data keys are kept for the next starts, and find them again.

docs/start-cache.md has the numbered rules; the kernel's keyring holds the data keys.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from ..contract.key_wrapper import DEK_BYTES, Aad, KeyUri, WrappedDek
from ..errors import PluginError, SettingsError
from ..named_tuple import NamedTuple
from ..process import no_core_dumps
from .discovery import DISTRIBUTIONS, LOCAL, OFFLINE, find_entry_points, find_plugin
from .setting_sources import Arguments, file_table
from .trust_rules import MAX_CACHE_SECONDS, TrustRule

TABLE = "cache"
SECONDS_VARIABLE = "KSM_STORAGE_CACHE"
KEYRING_VARIABLE = "KSM_STORAGE_CACHE_KEYRING"

KEYRINGS = ("session", "user", "persistent")

_FIELDS = ("seconds", "keyring", "keys")
_LABEL = b"ksm-storage data key cache v1"

# State that changes, because "once" is a fact about the process; a forked child warns too.
_warned: set[int] = set()


class DekCache(NamedTuple):
    """Hold for how long data keys are kept, and in which keyring of the kernel.

    Attributes:
        seconds: How long, for keys that ``keys`` does not name; 0 to keep nothing.
        keyring: ``session``, ``user`` or ``persistent``.
        keys: Seconds by provider or key URI.
        source: Where the setting came from, for ``doctor`` and ``inspect``.
        limit: The longest time that the trust rules of a file allow.
    """

    seconds: int
    keyring: str
    keys: Mapping[str, int]
    source: str
    limit: int = MAX_CACHE_SECONDS

    def within(self, rules: Iterable[TrustRule]) -> DekCache:
        """Return the cache for a file to which these rules apply (K11)."""
        limits = [each.max_cache_seconds for each in rules if each.max_cache_seconds is not None]
        return self._replace(limit=min([self.limit, *limits]))

    def seconds_for(self, key: KeyUri) -> int:
        """Return how many seconds a data key that this key unwraps is kept; 0 for none (K1)."""
        if key.provider in LOCAL or key.provider in OFFLINE:
            return 0
        exact = self.keys.get(str(key))
        if exact is not None:
            return min(exact, self.limit)
        usual = self.keys.get(key.provider, self.seconds)
        return min([usual, self.limit, *self._of_aliases(key)])

    def _of_aliases(self, key: KeyUri) -> Iterator[int]:
        # An alias shortens the time of each key that it may stand for, and prolongs none.
        for name, seconds in self.keys.items():
            if name.startswith(f"{key.provider}://"):
                try:
                    covers = find_plugin(key.provider).key_covers
                except PluginError:
                    return
                if covers(KeyUri.parse(name).key_id, key.key_id):
                    yield seconds

    def _seconds(self, key: KeyUri, wrapped: WrappedDek) -> int:
        # An alias opens what the file records under the key's own name: the setting of either
        # holds, and an exclusion of one is not undone by the other.
        recorded = KeyUri(key.provider, wrapped.key_id)
        return min(self.seconds_for(key), self.seconds_for(recorded))

    def shown(self, keys: Iterable[KeyUri]) -> Iterator[str]:
        """Yield a line for each of the keys whose data key is kept: where, how long, and why."""
        for key in keys:
            if seconds := self.seconds_for(key):
                where = f"{self.keyring} keyring for {key}"
                yield f"the data key is kept {seconds} s in the {where} (from {self.source})"

    def find(self, key: KeyUri, wrapped: WrappedDek, aad: Aad) -> bytes | None:
        """Return the data key that this key has unwrapped before, or None."""
        if not self._seconds(key, wrapped):
            return None
        # Imported late, here and below: ctypes costs a start that never gets here nothing.
        from . import kernel_keyring

        try:
            with no_core_dumps():
                name = self._name(key, wrapped, aad)
                dek = kernel_keyring.find(name, keyring=self.keyring)
        except OSError as exc:
            _warn_once(exc)
            return None
        return dek if dek is not None and len(dek) == DEK_BYTES else None

    def keep(self, dek: bytes, key: KeyUri, wrapped: WrappedDek, aad: Aad) -> None:
        """Keep a data key that the service has unwrapped and that opened its envelope (K4)."""
        seconds = self._seconds(key, wrapped)
        if not seconds:
            return
        from . import kernel_keyring

        name = self._name(key, wrapped, aad)
        try:
            kernel_keyring.keep(name, dek, keyring=self.keyring, seconds=seconds)
        except OSError as exc:
            _warn_once(exc)

    def discard(self, key: KeyUri, wrapped: WrappedDek, aad: Aad) -> None:
        """Remove an entry that does not open its envelope (K7)."""
        from . import kernel_keyring

        try:
            kernel_keyring.discard(self._name(key, wrapped, aad), keyring=self.keyring)
        except OSError as exc:
            _warn_once(exc)

    def _name(self, key: KeyUri, wrapped: WrappedDek, aad: Aad) -> str:
        return _description(key, wrapped, aad, self._seconds(key, wrapped))

    def problem(self) -> str | None:
        """Return why the kernel's keyring cannot be used, None if it can."""
        from . import kernel_keyring

        try:
            kernel_keyring.find("ksm-storage:", keyring=self.keyring)
        except OSError as exc:
            return _unusable(exc)
        return None


def configured_cache(arguments: Arguments | None) -> DekCache | None:
    """Return the cache that the call, the environment or the settings file turns on.

    Raises:
        SettingsError: A value is invalid, or the settings file cannot be read or trusted.
    """
    call = (arguments or {}).get(TABLE, {})
    if not isinstance(call, Mapping):
        raise _invalid(TABLE, "the call", "a table of options")
    sources = {"the call": call, "the environment": _environment()}
    sources[f"[{TABLE}] of the settings file"] = file_table(TABLE)
    seconds, keyring, keys = 0, "user", dict[str, int]()
    named = None
    # The first source is read last, so that it counts.
    for source, table in reversed(sources.items()):
        for name in table:
            if name not in _FIELDS:
                raise SettingsError(
                    f"unknown option {name!r} for the cache (from {source})",
                    hint=f"available options: {', '.join(_FIELDS)}",
                )
        if "seconds" in table:
            seconds, named = _seconds(table["seconds"], "seconds", source), source
        if "keyring" in table:
            keyring = _keyring(table["keyring"], source)
        listed = _keys(table.get("keys", {}), source)
        keys.update(listed)
        named = source if listed else named
    if named is None or not (seconds or any(keys.values())):
        return None
    return DekCache(seconds, keyring, keys, named)


def _environment() -> Mapping[str, object]:
    found: dict[str, object] = {}
    text = os.environ.get(SECONDS_VARIABLE)
    if text:
        # Not int(): it takes signs, spaces and digits of other scripts.
        digits = text.isascii() and text.isdigit() and len(text) < 10
        found["seconds"] = int(text) if digits else text
    if keyring := os.environ.get(KEYRING_VARIABLE):
        found["keyring"] = keyring
    return found


def _seconds(value: object, name: str, source: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_CACHE_SECONDS:
        raise _invalid(name, source, f"a whole number of seconds, 0 (off) to {MAX_CACHE_SECONDS}")
    return value


def _keyring(value: object, source: str) -> str:
    if not isinstance(value, str) or value not in KEYRINGS:
        raise _invalid("keyring", source, f"one of {', '.join(KEYRINGS)}")
    return value


def _keys(value: object, source: str) -> Mapping[str, int]:
    if not isinstance(value, Mapping):
        raise _invalid("keys", source, "a table of seconds by provider or key URI")
    found = {}
    for name, seconds in value.items():
        # Checked, because a misspelt key would be cached after all.
        key = KeyUri.parse(name) if "://" in name else None
        _refuse_unknown(name if key is None else key.provider, source)
        found[name if key is None else str(key)] = _seconds(seconds, f"keys.{name}", source)
    return found


def _refuse_unknown(provider: str, source: str) -> None:
    # The project's own first: one that is not installed here may be on another machine.
    if provider in DISTRIBUTIONS:
        return
    installed = {entry.name for entry in find_entry_points()}
    if provider not in installed:
        known = ", ".join(sorted({*DISTRIBUTIONS, *installed}))
        raise SettingsError(
            f"unknown provider {provider!r} in the cache's setting 'keys' from {source}",
            hint=f"name a provider or a key URI; providers: {known}",
        )


def _invalid(name: str, source: str, wanted: str) -> SettingsError:
    return SettingsError(f"the cache's setting {name!r} from {source} must be {wanted}")


def _description(key: KeyUri, wrapped: WrappedDek, aad: Aad, seconds: int) -> str:
    # cryptography's digest, which is loaded anyway; hashlib is not.
    from cryptography.hazmat.primitives.hashes import SHA256, Hash

    digest = Hash(SHA256())
    parts = (
        _LABEL,
        str(key).encode(),
        wrapped.key_id.encode(),
        wrapped.algorithm.encode(),
        wrapped.ciphertext,
        bytes(aad),
        # A shorter time holds at once: what was kept for longer is not found.
        str(seconds).encode(),
    )
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return f"ksm-storage:{digest.finalize().hex()}"


def _unusable(exc: OSError) -> str:
    return f"the kernel's keyring cannot be used: {exc.strerror}"


def _warn_once(exc: OSError) -> None:
    if os.getpid() in _warned:
        return
    _warned.add(os.getpid())
    import logging

    logging.getLogger("ksm_storage.cache").warning(
        "warning: %s; each start calls the key service", _unusable(exc)
    )

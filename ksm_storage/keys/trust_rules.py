"""Which keys, context and continuity the machine, the user and the environment demand of a file.

Every rule that applies must hold, so that a source can demand more than the others and never
less; docs/trust-rules.md has the numbered rules.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..contract.key_wrapper import KeyUri
from ..errors import DecryptionError, SettingsError
from ..named_tuple import NamedTuple
from . import setting_sources
from .setting_sources import settings_file, settings_file_expected, settings_tables

if TYPE_CHECKING:
    from .file_demands import FileDemands

TRUST_VARIABLE = "KSM_STORAGE_TRUST"
CONTINUITY_VARIABLE = "KSM_STORAGE_CONTINUITY"
MEMORY_VARIABLE = "KSM_STORAGE_MEMORY"
CONTEXT_VARIABLE = "KSM_STORAGE_CONTEXT"
TABLE = "trust"

OFF, WARN, REFUSE = CONTINUITY = ("off", "warn", "refuse")  # ordered: the strictest is last

MAX_POLICY_BYTES = 1_048_576
MAX_CACHE_SECONDS = 86_400
# Of the settings file, besides the tables of the key services; who reads them refuses their errors.
CORE_TABLES = (TABLE, "cache", "audit")
_FIELDS = ("path", "keys", "context", "continuity", "memory", "max_cache_seconds", "status")
_IN_KUBERNETES = "in Kubernetes, mount it with subPath, as a file"
_WILDCARD = re.compile(r"\*\*/?|\*|\?")


class TrustRule(NamedTuple):
    """Hold what one source demands of the files that a pattern names.

    Attributes:
        source: Where the rule comes from, for messages and ``doctor``.
        paths: Patterns of absolute paths; None for every file, and for what comes from no file.
        keys: The keys that may open the file, None for any.
        context: Names and values that the context must have.
        continuity: ``refuse``, ``warn`` or ``off``; None where the rule demands none of them.
        memory: The folder that keeps the records, None where the rule names none.
        max_cache_seconds: How long a data key may be kept for the next starts, None for any time.
        status: What ``status --check`` demands besides; no opening looks at it.
    """

    source: str
    paths: tuple[str, ...] | None = None
    keys: tuple[KeyUri, ...] | None = None
    context: Mapping[str, str] = MappingProxyType({})
    continuity: str | None = None
    memory: str | None = None
    max_cache_seconds: int | None = None
    status: FileDemands | None = None

    def applies_to(self, path: str | None) -> bool:
        """Tell whether a file falls under the rule, by its name or by where its links lead (T8)."""
        if self.paths is None:
            return True
        if path is None:
            return False
        names = {os.path.abspath(path), os.path.realpath(path)}
        return any(_matches(pattern, name) for pattern in self.paths for name in names)

    def demands(self) -> Iterator[tuple[str, str]]:
        """Yield what the rule demands, by the names of its fields, as text."""
        if self.keys is not None:
            yield "keys", " ".join(map(str, self.keys))
        if self.context:
            yield "context", ", ".join(f"{name}={value}" for name, value in self.context.items())
        if self.continuity is not None:
            yield "continuity", self.continuity
        if self.memory is not None:
            yield "memory", self.memory
        if self.max_cache_seconds is not None:
            yield "max_cache_seconds", str(self.max_cache_seconds)
        if self.status is not None:
            yield "status", ", ".join(self.status.as_text())

    def check_context(self, context: Mapping[str, str]) -> None:
        """Refuse a context that lacks what the rule requires (T2).

        Raises:
            DecryptionError: A name is missing, or has another value.
        """
        for name, value in self.context.items():
            if context.get(name) != value:
                raise DecryptionError(
                    f"the envelope does not have the context {name}={value} that a trust rule in "
                    f"{self.source} requires",
                    hint="check that this is the right file; 'ksm-storage inspect' shows its "
                    "context",
                )


def all_rules() -> tuple[TrustRule, ...]:
    """Return the rules from outside the code, the machine's first.

    Raises:
        SettingsError: A source cannot be read, cannot be trusted, or has a rule that is
            invalid. Nothing opens then: a rule that is not understood protects nothing.
    """
    return (*_machine_rules(), *_user_rules(), *_environment_rules())


def strictest(actions: Iterable[str | None]) -> str | None:
    """Return the strictest of several values for ``continuity`` (T3), None of none."""
    return max((each for each in actions if each is not None), key=CONTINUITY.index, default=None)


def _machine_rules() -> Sequence[TrustRule]:
    path = setting_sources.POLICY_FILE
    raw = _read_policy(path)
    return () if raw is None else parse_rules(raw, source=path)


def _user_rules() -> Sequence[TrustRule]:
    if not settings_file_expected():
        return ()
    source, tables = settings_file(), settings_tables()
    _refuse_stray(_stray_settings(tables), source=source, known=_tables)
    return _rules(tables.get(TABLE, []), source=source)


def _stray_settings(tables: Mapping[str, object]) -> Iterator[str]:
    # No plugin has lists or single values at the top.
    for name, value in tables.items():
        if name != TABLE and (not isinstance(value, Mapping) or not _is_known(name)):
            yield name


def _is_known(table: str) -> bool:
    if table in CORE_TABLES:
        return True
    from .discovery import DISTRIBUTIONS, find_entry_points

    # The project's own first: one that is not installed here may be on another machine.
    provider = table.partition("://")[0]
    return provider in DISTRIBUTIONS or provider in {each.name for each in find_entry_points()}


def _environment_rules() -> Sequence[TrustRule]:
    rules = []
    if keys := os.environ.get(TRUST_VARIABLE, "").split():
        rules.append(TrustRule(f"${TRUST_VARIABLE}", keys=_keys(keys, f"${TRUST_VARIABLE}")))
    if text := os.environ.get(CONTEXT_VARIABLE, "").strip():
        rules.append(TrustRule(f"${CONTEXT_VARIABLE}", context=_context_from_text(text)))
    if action := os.environ.get(CONTINUITY_VARIABLE):
        if action not in CONTINUITY:
            raise SettingsError(f"${CONTINUITY_VARIABLE} must be refuse, warn or off")
        rules.append(TrustRule(f"${CONTINUITY_VARIABLE}", continuity=action))
    if folder := os.environ.get(MEMORY_VARIABLE):
        rules.append(TrustRule(f"${MEMORY_VARIABLE}", memory=os.path.abspath(folder)))
    return rules


def parse_rules(raw: bytes, *, source: str) -> Sequence[TrustRule]:
    """Return the rules of a policy file, which holds nothing else.

    Raises:
        SettingsError: It is not valid TOML, a rule is invalid, or anything is outside a rule.
    """
    import tomllib

    try:
        tables = tomllib.loads(raw.decode("utf-8"))
    # Unclosed brackets exhaust the parser's recursion. The parser's text may quote the file.
    except (ValueError, RecursionError):
        tables = None
    if tables is None:
        raise SettingsError(
            f"the policy {source!r} is not valid TOML",
            hint="correct it; strings stand in quotes, and it must be UTF-8",
        )
    _refuse_stray((n for n in tables if n != TABLE), source=source, known=lambda: (TABLE,))
    return _rules(tables.get(TABLE, []), source=source)


def _tables() -> Iterable[str]:
    from .discovery import DISTRIBUTIONS, find_entry_points

    return (*CORE_TABLES, *DISTRIBUTIONS, *(each.name for each in find_entry_points()))


def _refuse_stray(names: Iterable[str], *, source: str, known: Callable[[], Iterable[str]]) -> None:
    stray = min(names, default=None)
    if stray is None:
        return
    from difflib import get_close_matches

    from ..contract.redaction import is_plain_word

    # In a JSON array in the place of a policy, the name of a table is a value.
    shown = repr(stray) if is_plain_word(stray) else "(not shown)"
    close = [] if stray in _FIELDS else get_close_matches(stray, sorted(set(known())), n=1)
    if close:
        hint = f"did you mean {f'[[{TABLE}]]' if close == [TABLE] else f'[{close[0]}]'}?"
    else:
        hint = f"write [[{TABLE}]] above the fields of each rule"
    raise SettingsError(f"unknown name {shown} at the top of {source!r}", hint=hint)


def _read_policy(path: str) -> bytes | None:
    if os.name != "posix":
        return None
    try:
        # O_NOFOLLOW: a link could lead to a file that its owner may change. O_NONBLOCK: a FIFO
        # here would hang every opening.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
        try:
            status = os.fstat(descriptor)
            raw = os.read(descriptor, MAX_POLICY_BYTES + 1)
        finally:
            os.close(descriptor)
        _refuse_writable(
            os.path.dirname(path),
            os.stat(os.path.dirname(path)),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise SettingsError(
            f"cannot read the policy of this machine, {path!r}: {exc.strerror}",
            hint="as root: make it a regular file of mode 0644 in a folder of mode 0755; "
            + _IN_KUBERNETES,
        ) from exc
    _refuse_writable(path, status)
    if len(raw) > MAX_POLICY_BYTES:
        raise SettingsError(f"the policy {path!r} is larger than {MAX_POLICY_BYTES} bytes")
    return raw


def _refuse_writable(name: str, status: os.stat_result) -> None:
    if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        from ..plugin_kit.file_access import UNMAPPED

        hint = f"as root: chown root {name}; chmod go-w {name}; {_IN_KUBERNETES}"
        if status.st_uid == UNMAPPED:
            hint = "its owner is unknown in this container: put the policy into the image"
        raise SettingsError(
            f"the policy of this machine can be changed by others than root: {name!r}", hint=hint
        )


def _rules(tables: object, *, source: str) -> Sequence[TrustRule]:
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise SettingsError(f"{TABLE!r} in {source!r} must be written as [[{TABLE}]] tables")
    return [_rule(table, source) for table in tables]


def _rule(table: Mapping[str, object], source: str) -> TrustRule:
    unknown = sorted(set(table) - set(_FIELDS))
    if unknown:
        raise SettingsError(
            f"a [[{TABLE}]] rule in {source!r} has an unknown field: {unknown[0]!r}",
            hint=f"the fields are: {', '.join(_FIELDS)}",
        )
    keys = _strings(table, "keys", source)
    memory = table.get("memory")
    if memory is not None and not (isinstance(memory, str) and os.path.isabs(memory)):
        raise _invalid("memory", "an absolute path", source)
    # A demand of the rule, not a default for later: another source's ``off`` would win over that.
    action = table.get("continuity", None if memory is None else REFUSE)
    if action is not None and action not in CONTINUITY:
        raise _invalid("continuity", "refuse, warn or off", source)
    paths = _strings(table, "path", source)
    if paths is not None and not all(path.startswith("/") for path in paths):
        raise _invalid("path", "a pattern that begins with /", source)
    return TrustRule(
        source,
        paths=paths,
        keys=None if keys is None else _keys(keys, source),
        context=_context(table.get("context", {}), source),
        continuity=str(action) if action is not None else None,
        memory=memory,
        max_cache_seconds=_max_cache_seconds(table, source),
        status=_status(table.get("status"), source),
    )


def _max_cache_seconds(table: Mapping[str, object], source: str) -> int | None:
    value = table.get("max_cache_seconds")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_CACHE_SECONDS:
        wanted = f"a whole number of seconds, 0 (off) to {MAX_CACHE_SECONDS}"
        raise _invalid("max_cache_seconds", wanted, source)
    return value


def _status(table: object, source: str) -> FileDemands | None:
    if table is None:
        return None
    # Loaded where a rule has them only: most openings have no rule at all.
    from .file_demands import read_demands

    return read_demands(table, source)


def _strings(table: Mapping[str, object], name: str, source: str) -> tuple[str, ...] | None:
    value = table.get(name)
    if value is None:
        return None
    listed = [value] if name == "path" and isinstance(value, str) else value
    # An empty list would match nothing, or allow no key: neither is what anybody means.
    if not isinstance(listed, list) or not listed:
        raise _invalid(name, "a list of strings", source)
    if not all(isinstance(each, str) and each for each in listed):
        raise _invalid(name, "a list of strings", source)
    return tuple(listed)


def _context(value: object, source: str) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _invalid("context", "a table of names and strings", source)
    return value


def _context_from_text(text: str) -> Mapping[str, str]:
    pairs = {}
    for part in text.split(","):
        name, separator, value = part.strip().partition("=")
        if not separator or not name or not value or name in pairs:
            raise SettingsError(
                f"${CONTEXT_VARIABLE} must list NAME=VALUE, separated by commas",
                hint="for instance env=prod,team=payments",
            )
        pairs[name] = value
    return pairs


def _keys(names: Sequence[str], source: str) -> tuple[KeyUri, ...]:
    # Imported late: a URI is read without it, and most openings have no rule at all.
    from .discovery import resolve_key

    try:
        return tuple(resolve_key(name) for name in names)
    except SettingsError as exc:
        raise SettingsError(f"in {source}: {exc.message}", hint=exc.hint) from exc


def _invalid(field: str, wanted: str, source: str) -> SettingsError:
    return SettingsError(f"{field!r} of a [[{TABLE}]] rule in {source!r} must be {wanted}")


def _matches(pattern: str, name: str) -> bool:
    parts = []
    end = 0
    for found in _WILDCARD.finditer(pattern):
        parts.append(re.escape(pattern[end : found.start()]))
        parts.append({"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}[found.group()])
        end = found.end()
    parts.append(re.escape(pattern[end:]))
    return re.fullmatch("".join(parts), name, re.DOTALL) is not None

"""From a provider's name to the one installed plugin that serves it.

``importlib.metadata.entry_points()`` opens and parses the metadata of each distribution: in an
environment of a hundred that costs more than all the rest of a cold start. Here a folder of
``sys.path`` is listed once, the ``entry_points.txt`` of each distribution is read as bytes, and
only those that contain the group's name are parsed. What is not a folder (a zip file, an egg,
another finder) is left to ``importlib.metadata``, so that the result is the same.

A process remembers what it found until a folder of the path changes, as Python's own import system
does.
"""

from __future__ import annotations

import importlib
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import PathFinder
from inspect import getattr_static
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from ..contract.key_wrapper import KeyUri, KeyWrapper, refuse_credentials
from ..contract.settings import Option, Settings
from ..errors import (
    KsmStorageError,
    PluginConflictError,
    PluginContractError,
    PluginLoadError,
    PluginNotFoundError,
    SettingsError,
)
from ..process import gc_pause
from .known_providers import DISTRIBUTIONS, NATIVE_NAMES, install_hint

if TYPE_CHECKING:
    from importlib.metadata import Distribution

    import pluggy

GROUP = "ksm_storage.providers"

_Result = TypeVar("_Result")
_Offer = tuple[str, str, str]  # distribution, version, the text of its entry_points.txt
_Identity = tuple[int, int, int]  # device, inode, time of the last change
_PathState = tuple[_Identity | None, ...]

# Modification times advance in ticks (up to 10 ms on Linux): a folder that changed within the
# last one may change again and look the same.
_TICK_NANOSECONDS = 100_000_000


class EntryPoint(NamedTuple):
    """Hold one entry point: its name, the module it names and who offers it."""

    name: str
    module: str
    distribution: str
    version: str


class Plugin:
    """Call the hooks of one loaded plugin and hold each of them to its contract.

    Every method raises documented errors only: a foreign exception becomes
    ``PluginContractError`` with its cause kept and its text, which may hold a secret, not copied.
    """

    def __init__(self, entry: EntryPoint, hooks: pluggy.PluginManager) -> None:
        self.provider = entry.name
        self.distribution = entry.distribution
        self.version = entry.version
        self._hook = hooks.hook

    def options(self) -> Sequence[Option]:
        """Return the options that the plugin declares."""
        name = "key_wrapper_options"
        # list() is inside: a hook may be a generator, which raises only now.
        options = self._call(name, lambda hook: list(hook() or ()))
        if not all(isinstance(option, Option) for option in options):
            raise self._contract_error(name, "returned something other than options")
        if len({option.name for option in options}) < len(options):
            raise self._contract_error(name, "declares an option twice")
        return options

    def open_key_wrapper(self, key_id: str, settings: Settings) -> KeyWrapper:
        """Open the key wrapper of one KEK, without a call to the network."""
        name = "open_key_wrapper"
        wrapper = self._call(name, lambda hook: hook(key_id=key_id, settings=settings))
        # A class has the attributes too, and is what a forgotten "()" returns.
        if not _is_key_wrapper(wrapper) or isinstance(wrapper, type):
            raise self._contract_error(name, "did not return a key wrapper")
        return cast("KeyWrapper", wrapper)  # mypy does not see what the check means

    def recognise_key(self, text: str) -> KeyUri | None:
        """Return the key URI for a provider-native key name, or None if it is not one."""
        key_id = self._call("recognise_key", lambda hook: hook(text=text))
        if key_id is None:
            return None
        try:
            return KeyUri(self.provider, key_id)
        except (SettingsError, TypeError) as exc:
            raise self._contract_error("recognise_key", "returned an invalid key id") from exc

    def key_covers(self, trusted: str, key_id: str) -> bool:
        """Tell whether the trusted key id covers the resolved key id."""
        if trusted == key_id:
            return True
        answer = self._call("key_covers", lambda hook: hook(trusted=trusted, key_id=key_id))
        return answer is True

    def newest_version(self, key: KeyUri, algorithm: str, ciphertext: bytes) -> KeyUri:
        """Return the key that wraps with the newest version of a recorded key."""
        recorded = {"key_id": key.key_id, "algorithm": algorithm, "ciphertext": ciphertext}
        name = self._call("newest_version", lambda hook: hook(**recorded))
        if name is None:
            return key
        # Wrapped under another key, the file would be lost to whoever trusts this one.
        if not isinstance(name, str) or not self.key_covers(name, key.key_id):
            raise self._contract_error("newest_version", "returned a different key")
        return KeyUri(self.provider, name)

    def _call(self, name: str, call: Callable[[Any], _Result]) -> _Result:
        try:
            return call(getattr(self._hook, name))
        except KsmStorageError:
            raise
        # The contract: nothing foreign passes this seam, not even a wish to end the process.
        except (Exception, SystemExit) as exc:
            raise self._contract_error(name, f"raised {type(exc).__name__}") from exc

    def _contract_error(self, hook: str, what: str) -> PluginContractError:
        return PluginContractError(
            f"the hook {hook!r} of {self.distribution} {what}",
            hint=f"report this to the maintainers of {self.distribution}",
            provider=self.provider,
        )


def find_plugin(provider: str) -> Plugin:
    """Import and register the one plugin that serves the provider, and no other.

    Raises:
        PluginNotFoundError: No distribution offers it; the hint says what to install.
        PluginConflictError: More than one distribution offers it.
        PluginLoadError: It cannot be imported, or a hook is not valid.
    """
    entries = find_entry_points()
    matching = [entry for entry in entries if entry.name == provider]
    if not matching:
        raise _not_found(provider, entries)
    if len(matching) > 1:
        names = " and ".join(sorted(entry.distribution for entry in matching))
        raise PluginConflictError(
            f"more than one package offers the provider {provider!r}: {names}",
            hint="uninstall all but the one that you trust",
            provider=provider,
        )
    return _loaded(matching[0])


def resolve_key(text: str) -> KeyUri:
    """Read a key URI, or a native key name that an installed plugin recognises.

    Raises:
        SettingsError: No plugin recognises the text, or it contains credentials.
        PluginNotFoundError: The text names a key of a known provider that is not installed.
    """
    refuse_credentials(text)
    provider, separator, _ = text.partition("://")
    entries = find_entry_points()
    if separator and any(entry.name == provider for entry in entries):
        return KeyUri.parse(text)
    for entry in entries:
        found = _recognised(entry, text)
        if found is not None:
            return found
    native = _provider_for_native_name(text)
    if native is not None:
        raise _not_found(native, entries)
    return KeyUri.parse(text)


def _is_key_wrapper(candidate: object) -> bool:
    # Until Python 3.12 isinstance reads the property binds_aad, which may ask the key service:
    # opening must not.
    absent = object()
    names = ("binds_aad", "wrap", "unwrap", "close")
    return all(getattr_static(candidate, name, absent) is not absent for name in names)


def _provider_for_native_name(text: str) -> str | None:
    return next((name for form, name in NATIVE_NAMES if re.match(form, text)), None)


def _recognised(entry: EntryPoint, text: str) -> KeyUri | None:
    try:
        return _loaded(entry).recognise_key(text)
    # One broken plugin must not keep another from recognising its keys; it is reported when it
    # is itself chosen.
    except KsmStorageError:
        return None


def _loaded(entry: EntryPoint) -> Plugin:
    known = _plugins.get(entry)
    if known is not None and sys.modules.get(entry.module) is known[0]:
        return known[1]
    # Loaded with the first plugin: listing what is installed needs none of it.
    with gc_pause():
        import pluggy

        from ..contract import hookspecs

    try:
        module = importlib.import_module(entry.module)
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(module, name=entry.name)
    # Importing a plugin runs its code, which may raise anything, or end the process.
    except (Exception, SystemExit) as exc:
        raise PluginLoadError(
            f"cannot load the plugin {entry.name!r} from {entry.distribution}: "
            f"{type(exc).__name__}",
            hint=f"reinstall {entry.distribution} from where you installed it",
            provider=entry.name,
        ) from exc
    _refuse_misspelt_hooks(entry, manager)
    plugin = Plugin(entry, manager)
    _plugins[entry] = module, plugin
    return plugin


def _refuse_misspelt_hooks(entry: EntryPoint, manager: pluggy.PluginManager) -> None:
    from pluggy import PluginValidationError

    try:
        manager.check_pending()
    except PluginValidationError as exc:
        known = sorted(name for name, each in vars(manager.hook).items() if each.has_spec())
        plugin = manager.get_plugin(entry.name)
        callers = manager.get_hookcallers(plugin) or []
        unknown = next((caller.name for caller in callers if not caller.has_spec()), "")
        close = _close_matches(unknown, known, n=1)
        raise PluginLoadError(
            f"the plugin {entry.name!r} from {entry.distribution} implements an unknown hook: "
            f"{unknown!r}",
            hint=f"did you mean {close[0]!r}?" if close else f"valid hooks: {', '.join(known)}",
            provider=entry.name,
        ) from exc


def _not_found(provider: str, entries: Iterable[EntryPoint]) -> PluginNotFoundError:
    distribution = DISTRIBUTIONS.get(provider)
    names = sorted({entry.name for entry in entries})
    if distribution is not None:
        hint = install_hint(distribution)
    elif close := _close_matches(provider, names, n=1):
        hint = f"did you mean {close[0]!r}?"
    else:
        hint = f"installed providers: {', '.join(names) or 'none'}; install the missing plugin"
    # Anything else may be a secret in the wrong place.
    shown = repr(provider) if re.fullmatch(r"[a-z0-9_-]{1,64}", provider) else "(not shown)"
    message = f"no plugin is installed for the provider {shown}"
    return PluginNotFoundError(message, hint=hint, provider=provider)


def _close_matches(word: str, known: Sequence[str], *, n: int) -> list[str]:
    # Loaded for a mistake only: every start would pay for it otherwise.
    from difflib import get_close_matches

    return get_close_matches(word, known, n=n)


def find_entry_points(group: str = GROUP) -> list[EntryPoint]:
    """Return the entry points of the group in the order of ``sys.path``; imports none of them.

    As for an import, the first distribution of a name on the path hides a later one of that name.
    The folders are listed again only once one of them has changed.
    """
    state = _path_state()
    known = _found.get(group)
    if known is not None and state is not None and known[0] == state:
        return list(known[1])
    found: list[EntryPoint] = []
    seen: set[str] = set()
    for distribution, version, text in _offers(group):
        if distribution not in seen:
            seen.add(distribution)
            found += _parsed(text, group, distribution, version)
    newest = max((identity[2] for identity in state or () if identity is not None), default=0)
    if state is not None and time.time_ns() - newest > _TICK_NANOSECONDS:
        _found[group] = state, tuple(found)
    return found


def _path_state() -> _PathState | None:
    """Return what tells whether a search would find the same again; None if nothing does."""
    for finder in sys.meta_path:
        if finder is not PathFinder and hasattr(finder, "find_distributions"):
            return None
    state: list[_Identity | None] = []
    for entry in sys.path:
        if not isinstance(entry, str):
            continue
        try:
            status = os.stat(entry or ".")
        except (OSError, ValueError):
            state.append(None)
            continue
        if entry.endswith(".egg") or not stat.S_ISDIR(status.st_mode):
            return None
        state.append((status.st_dev, status.st_ino, status.st_mtime_ns))
    return tuple(state)


def _offers(group: str) -> Iterator[_Offer]:
    for finder in sys.meta_path:
        if finder is PathFinder:
            for entry in dict.fromkeys(item for item in sys.path if isinstance(item, str)):
                yield from _at(entry, group)
        # The backport's finder searches the same path with the same result. Import hooks of
        # editable installs find modules, not distributions: most other finders end here.
        elif (find := getattr(finder, "find_distributions", None)) is not None and type(
            finder
        ).__module__.partition(".")[0] != "importlib_metadata":
            from importlib.metadata import DistributionFinder

            yield from _described(find(DistributionFinder.Context()))


def _at(entry: str, group: str) -> Iterable[_Offer]:
    try:
        status = os.stat(entry or ".")
    except (OSError, ValueError):  # ValueError: the path holds a NUL
        return ()
    if entry.endswith(".egg") or not stat.S_ISDIR(status.st_mode):
        from importlib.metadata import distributions

        return _described(distributions(path=[entry]))
    return _in_folder(entry or ".", group)


def _described(distributions: Iterable[Distribution]) -> Iterator[_Offer]:
    for distribution in distributions:
        text = distribution.read_text("entry_points.txt") or ""
        yield _normalised(distribution.name or "unknown"), distribution.version or "", text


def _in_folder(folder: str, group: str) -> Iterator[_Offer]:
    try:
        with os.scandir(folder) as listing:
            names = [item.name for item in listing]
    except OSError:
        return
    for name in names:
        # pip renames what it is about to replace to "~name"; a killed pip leaves it behind.
        if name.endswith((".dist-info", ".egg-info")) and not name.startswith("~"):
            distribution, _, version = name.rpartition(".")[0].partition("-")
            text = _entry_points_text(os.path.join(folder, name), group)
            # An .egg-info folder may carry the Python version behind the distribution's own.
            yield _normalised(distribution), version.partition("-py")[0], text


def _normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _entry_points_text(metadata: str, group: str) -> str:
    try:
        with open(os.path.join(metadata, "entry_points.txt"), "rb") as file:
            raw = file.read()
    except OSError:
        return ""
    return raw.decode("utf-8", errors="replace") if group.encode() in raw else ""


def _parsed(text: str, group: str, distribution: str, version: str) -> Iterator[EntryPoint]:
    # The grammar is importlib.metadata's; configparser would cost more than the whole search.
    section = None
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif section == group and not line.startswith("#"):
            name, separator, value = line.partition("=")
            if separator:
                module = value.partition("[")[0].strip()
                yield EntryPoint(name.strip(), module, distribution, version)


# What is remembered: by group with the state of the whole path, and by entry point with the module
# that was registered. It belongs to the process, as sys.modules does; threads that fill it at once
# find the same.
_found: dict[str, tuple[_PathState, tuple[EntryPoint, ...]]] = {}
_plugins: dict[EntryPoint, tuple[ModuleType, Plugin]] = {}

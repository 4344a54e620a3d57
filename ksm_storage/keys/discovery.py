"""From a provider's name to the one plugin that serves it.

The name of a built-in provider always means the built-in one: no installed distribution is looked
at for it, so none can take its place or stop it, and a start under such a key neither reads the
metadata of what is installed nor loads ``pluggy``. Every other name is an installed plugin's.

``importlib.metadata.entry_points()`` opens and parses the metadata of each distribution. Here a
folder of ``sys.path`` is listed once, the ``entry_points.txt`` of each distribution is read as
bytes, and only those that contain the group's name are parsed. What is not a folder (a zip file, an
egg, another finder) is left to ``importlib.metadata``, so that the result is the same. A process
remembers what it found until a folder of the path changes, as Python's own import system does.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..contract.key_wrapper import KeyUri, KeyWrapper, refuse_credentials
from ..contract.settings import Option, Settings
from ..errors import KsmStorageError, PluginConflictError, PluginContractError, SettingsError
from ..named_tuple import NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUP = "ksm_storage.providers"
# Which distribution to install for a provider.
DISTRIBUTIONS = {
    "aws-kms": "ksm-storage-aws-kms",
    "azure-kv": "ksm-storage-azure-kv",
    "gcp-kms": "ksm-storage-gcp-kms",
    "oracle-kv": "ksm-storage-oracle-kv",
    "pkcs11": "ksm-storage-entrust-hsm",
    "tpm2": "ksm-storage-tpm2",
    "vault-transit": "ksm-storage-vault-transit",
    "key-file": "ksm-storage",
    "os-keyring": "ksm-storage",
    "recovery": "ksm-storage",
}

# The module of each provider that is part of ksm-storage itself.
BUILT_IN = {
    "key-file": "ksm_storage.providers.key_file",
    "os-keyring": "ksm_storage.providers.os_keyring",
    "recovery": "ksm_storage.providers.recovery",
}

# Answer without a network.
LOCAL = frozenset({"key-file", "os-keyring", "tpm2"})

# Answer by computation in this process, without a client or a device: a fork may share them.
COMPUTED = frozenset({"key-file"})

# Unwrap only where somebody has brought the secret.
OFFLINE = frozenset({"recovery"})

_Result = TypeVar("_Result")
_FindHook = Callable[[str], Callable[..., Any]]
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

    def __init__(self, provider: str, distribution: str, version: str, hook: _FindHook) -> None:
        self.provider = provider
        self.distribution = distribution
        self.version = version
        self._hook = hook

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
            return call(self._hook(name))
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
    """Import the one plugin that serves the provider, and no other.

    Raises:
        PluginNotFoundError: No distribution offers it; the hint says what to install.
        PluginConflictError: More than one distribution offers it, and it is not built in.
        PluginLoadError: It cannot be imported, or a hook is not valid.
    """
    if provider in BUILT_IN:
        return _built_in(provider)
    entries = find_entry_points()
    matching = [entry for entry in entries if entry.name == provider]
    if not matching:
        from .known_providers import plugin_not_found

        raise plugin_not_found(provider, (entry.name for entry in entries))
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
    if separator and provider in BUILT_IN:
        return KeyUri.parse(text)
    entries = find_entry_points()
    if separator and any(entry.name == provider for entry in entries):
        return KeyUri.parse(text)
    for entry in entries:
        # A broken plugin keeps no other from recognising its keys; it is reported when chosen.
        with suppress(KsmStorageError):
            found = _loaded(entry).recognise_key(text)
            if found is not None:
                return found
    from .known_providers import refuse_native_name

    refuse_native_name(text, find_plugin)
    return KeyUri.parse(text)


def _is_key_wrapper(candidate: object) -> bool:
    # Until Python 3.12 isinstance reads the property binds_aad, which may ask the key service.
    # inspect.getattr_static would do, for 5 ms of each start.
    names = {"binds_aad", "wrap", "unwrap", "close"}
    own = getattr(candidate, "__dict__", {})
    return names <= {*own, *(name for kind in type(candidate).__mro__ for name in vars(kind))}


def _built_in(provider: str) -> Plugin:
    known = _plugins.get(provider)
    module = sys.modules.get(BUILT_IN[provider])
    if known is not None and known[0] is module:
        return known[1]
    from .. import __version__

    module = import_module(BUILT_IN[provider])
    # By their names: tests check here what pluggy checks of plugins.
    plugin = Plugin(
        provider,
        DISTRIBUTIONS[provider],
        __version__,
        lambda name: getattr(module, name, _unanswered),
    )
    _plugins[provider] = module, plugin
    return plugin


def _loaded(entry: EntryPoint) -> Plugin:
    if BUILT_IN.get(entry.name) == entry.module:
        return _built_in(entry.name)
    known = _plugins.get(entry)
    if known is not None and sys.modules.get(entry.module) is known[0]:
        return known[1]
    # Loaded with the first plugin: listing what is installed needs none of it.
    from ..contract.hookspecs import plain_hooks

    try:
        module = import_module(entry.module)
        hooks = plain_hooks(module)
    # Importing a plugin runs its code, which may raise anything, or end the process.
    except (Exception, SystemExit) as exc:
        from .plugin_manager import not_loaded

        raise not_loaded(entry, exc) from exc
    if hooks is None:
        # It has more than plain functions, or wrong ones.
        from .plugin_manager import managed_hooks

        hooks = managed_hooks(module, entry)
    plugin = Plugin(
        entry.name, entry.distribution, entry.version, lambda name: hooks.get(name, _unanswered)
    )
    _plugins[entry] = module, plugin
    return plugin


def _unanswered(**_: object) -> None:
    """Answer for a hook that a plugin does not implement."""


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
    if any(map(_search_of, sys.meta_path)):
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
        elif search := _search_of(finder):
            from importlib.metadata import DistributionFinder

            yield from _described(search(DistributionFinder.Context()))


def _search_of(finder: Any) -> Any:
    # The backport's finder searches the same path; import hooks of editable installs find modules.
    is_same = finder is PathFinder or type(finder).__module__.startswith("importlib_metadata")
    return None if is_same else getattr(finder, "find_distributions", None)


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


# What is remembered belongs to the process, as sys.modules does; threads that fill it at once find
# the same. Entry points by group, with the state of the whole path; plugins by entry point, or by
# the name of a built-in provider, with the module that was loaded.
_found: dict[str, tuple[_PathState, tuple[EntryPoint, ...]]] = {}
_plugins: dict[str | EntryPoint, tuple[ModuleType, Plugin]] = {}

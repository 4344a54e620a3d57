"""From a provider's name to the one plugin that serves it.

The name of a built-in provider always means the built-in one: no installed distribution is looked
at for it, so none can take its place or stop it, and a start under such a key neither reads the
metadata of what is installed nor loads ``pluggy``. Every other name is an installed plugin's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

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
from .known_providers import BUILT_IN, DISTRIBUTIONS, NATIVE_NAMES, install_hint

if TYPE_CHECKING:
    import pluggy

    from .entry_points import EntryPoint

_Result = TypeVar("_Result")


class Plugin:
    """Call the hooks of one loaded plugin and hold each of them to its contract.

    Every method raises documented errors only: a foreign exception becomes
    ``PluginContractError`` with its cause kept and its text, which may hold a secret, not copied.
    """

    def __init__(self, provider: str, distribution: str, version: str, hook: object) -> None:
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
    """Import the one plugin that serves the provider, and no other.

    Raises:
        PluginNotFoundError: No distribution offers it; the hint says what to install.
        PluginConflictError: More than one distribution offers it, and it is not built in.
        PluginLoadError: It cannot be imported, or a hook is not valid.
    """
    if provider in BUILT_IN:
        return _built_in(provider)
    # Late here and below: a start under a built-in key needs no search.
    from .entry_points import find_entry_points

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
    if separator and provider in BUILT_IN:
        return KeyUri.parse(text)
    from .entry_points import find_entry_points

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
    # opening must not. inspect.getattr_static would do, for 5 ms of each start.
    names = {"binds_aad", "wrap", "unwrap", "close"}
    own = getattr(candidate, "__dict__", {})
    return names <= {*own, *(name for kind in type(candidate).__mro__ for name in vars(kind))}


def _provider_for_native_name(text: str) -> str | None:
    return next((name for form, name in NATIVE_NAMES if re.match(form, text)), None)


def _recognised(entry: EntryPoint, text: str) -> KeyUri | None:
    try:
        return _loaded(entry).recognise_key(text)
    # One broken plugin must not keep another from recognising its keys; it is reported when it
    # is itself chosen.
    except KsmStorageError:
        return None


def _built_in(provider: str) -> Plugin:
    known = _plugins.get(provider)
    module = sys.modules.get(BUILT_IN[provider])
    if known is not None and known[0] is module:
        return known[1]
    from .. import __version__

    module = import_module(BUILT_IN[provider])
    plugin = Plugin(provider, DISTRIBUTIONS[provider], __version__, _FunctionsOf(module))
    _plugins[provider] = module, plugin
    return plugin


class _FunctionsOf:
    """Call the hooks of a module of ours by their names; a hook that it lacks has no answer.

    What pluggy checks of a plugin each time it is loaded, tests check of these modules once.
    """

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self._module, name, _no_answer)
        return found


def _no_answer(**_arguments: object) -> None:
    return None


def _loaded(entry: EntryPoint) -> Plugin:
    if BUILT_IN.get(entry.name) == entry.module:
        return _built_in(entry.name)
    known = _plugins.get(entry)
    if known is not None and sys.modules.get(entry.module) is known[0]:
        return known[1]
    # Loaded with the first plugin: listing what is installed needs none of it.
    with gc_pause():
        import pluggy

        from ..contract import hookspecs

    try:
        module = import_module(entry.module)
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
    plugin = Plugin(entry.name, entry.distribution, entry.version, manager.hook)
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


# By the name of a built-in provider, or by entry point, with the module that was loaded. It belongs
# to the process, as sys.modules does; threads that fill it at once find the same.
_plugins: dict[str | EntryPoint, tuple[ModuleType, Plugin]] = {}

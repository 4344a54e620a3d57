"""From a provider's name to the one plugin that serves it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from inspect import getattr_static
from typing import Any, TypeVar, cast

import pluggy

from ..contract import hookspecs
from ..contract.key_uri import KeyUri, refuse_pin
from ..contract.key_wrapper import KeyWrapper
from ..contract.settings import Option, Settings
from ..errors import (
    KsmStorageError,
    PluginConflictError,
    PluginContractError,
    PluginLoadError,
    PluginNotFoundError,
    SettingsError,
)
from .entry_points import EntryPoint, find_entry_points
from .known_providers import distribution_for, provider_for_native_name

_Result = TypeVar("_Result")


class Plugin:
    """Call the hooks of one loaded plugin, holding each to its contract.

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
        options = self._called(name, lambda hook: list(hook() or ()))
        if not all(isinstance(option, Option) for option in options):
            raise self._broken(name, "returned something else than options")
        if len({option.name for option in options}) < len(options):
            raise self._broken(name, "declared an option twice")
        return options

    def open_key_wrapper(self, key_id: str, settings: Settings) -> KeyWrapper:
        """Open the key wrapper of one KEK, without a call to the network."""
        name = "open_key_wrapper"
        wrapper = self._called(name, lambda hook: hook(key_id=key_id, settings=settings))
        # A class has the attributes too, and is what a forgotten "()" returns.
        if not _is_key_wrapper(wrapper) or isinstance(wrapper, type):
            raise self._broken(name, "returned no key wrapper")
        return cast("KeyWrapper", wrapper)  # mypy does not see what the check means

    def recognise_key(self, text: str) -> KeyUri | None:
        """Return the key URI of a provider-native key name, or None if it is not this one's."""
        key_id = self._called("recognise_key", lambda hook: hook(text=text))
        if key_id is None:
            return None
        try:
            return KeyUri(self.provider, key_id)
        except (SettingsError, TypeError) as exc:
            raise self._broken("recognise_key", "returned no usable key id") from exc

    def key_covers(self, trusted: str, key_id: str) -> bool:
        """Tell whether the trusted key id may stand for the resolved one."""
        if trusted == key_id:
            return True
        answer = self._called("key_covers", lambda hook: hook(trusted=trusted, key_id=key_id))
        return answer is True

    def newest_version(self, key: KeyUri, algorithm: str) -> KeyUri:
        """Return the key by which the newest version of a recorded one wraps."""
        name = self._called(
            "newest_version", lambda hook: hook(key_id=key.key_id, algorithm=algorithm)
        )
        if name is None:
            return key
        # Wrapped under another key, the file would be lost to whoever trusts this one.
        if not isinstance(name, str) or not self.key_covers(name, key.key_id):
            raise self._broken("newest_version", "named another key")
        return KeyUri(self.provider, name)

    def _called(self, name: str, call: Callable[[Any], _Result]) -> _Result:
        try:
            return call(getattr(self._hook, name))
        except KsmStorageError:
            raise
        # The contract: nothing foreign passes this seam, not even a wish to end the process.
        except (Exception, SystemExit) as exc:
            raise self._broken(name, f"raised {type(exc).__name__}") from exc

    def _broken(self, hook: str, what: str) -> PluginContractError:
        return PluginContractError(
            f"the hook {hook!r} of {self.distribution} {what}",
            hint=f"report it to the authors of {self.distribution}",
            provider=self.provider,
        )


def find_plugin(provider: str) -> Plugin:
    """Import and register the one plugin that serves the provider, and no other.

    Raises:
        PluginNotFoundError: No distribution offers it; the hint says what to install.
        PluginConflictError: Two distributions offer it.
        PluginLoadError: It cannot be imported, or its hooks do not fit.
    """
    entries = find_entry_points()
    matching = [entry for entry in entries if entry.name == provider]
    if not matching:
        raise _not_found(provider, entries)
    if len(matching) > 1:
        names = " and ".join(sorted(entry.distribution for entry in matching))
        raise PluginConflictError(
            f"the provider {provider!r} is offered by {names}",
            hint="uninstall all of them but the one that you trust",
            provider=provider,
        )
    return _loaded(matching[0])


def resolve_key(text: str) -> KeyUri:
    """Read a key URI, or a provider's own name of a key as an installed plugin recognises it.

    Raises:
        SettingsError: No plugin recognises the text, or it holds a PIN.
        PluginNotFoundError: The text is the form of a known provider that is not installed.
    """
    refuse_pin(text)
    provider, separator, _ = text.partition("://")
    entries = find_entry_points()
    if separator and any(entry.name == provider for entry in entries):
        return KeyUri.parse(text)
    for entry in entries:
        found = _recognised(entry, text)
        if found is not None:
            return found
    native = provider_for_native_name(text)
    if native is not None:
        raise _not_found(native, entries)
    return KeyUri.parse(text)


def _is_key_wrapper(candidate: object) -> bool:
    # Until Python 3.12 isinstance reads the property binds_aad, which may ask the key service:
    # opening must not.
    absent = object()
    names = ("binds_aad", "wrap", "unwrap", "close")
    return all(getattr_static(candidate, name, absent) is not absent for name in names)


def _recognised(entry: EntryPoint, text: str) -> KeyUri | None:
    try:
        return _loaded(entry).recognise_key(text)
    # One broken plugin must not keep another from recognising its keys; it is reported when it
    # is itself chosen.
    except KsmStorageError:
        return None


def _loaded(entry: EntryPoint) -> Plugin:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(importlib.import_module(entry.module), name=entry.name)
    # Importing a plugin runs its code, which may raise anything, or end the process.
    except (Exception, SystemExit) as exc:
        raise PluginLoadError(
            f"{entry.distribution}, which offers {entry.name!r}, cannot be loaded: "
            f"{type(exc).__name__}",
            hint=f"reinstall it with: pip install --force-reinstall {entry.distribution}",
            provider=entry.name,
        ) from exc
    _refuse_misspelt_hooks(entry, manager)
    return Plugin(entry, manager)


def _refuse_misspelt_hooks(entry: EntryPoint, manager: pluggy.PluginManager) -> None:
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as exc:
        known = sorted(name for name, each in vars(manager.hook).items() if each.has_spec())
        plugin = manager.get_plugin(entry.name)
        callers = manager.get_hookcallers(plugin) or []
        unknown = next((caller.name for caller in callers if not caller.has_spec()), "")
        close = _close_matches(unknown, known, n=1)
        raise PluginLoadError(
            f"{entry.distribution}, which offers {entry.name!r}, has a hook that is not known: "
            f"{unknown!r}",
            hint=f"did you mean {close[0]!r}?" if close else f"the hooks are: {', '.join(known)}",
            provider=entry.name,
        ) from exc


def _not_found(provider: str, entries: Iterable[EntryPoint]) -> PluginNotFoundError:
    distribution = distribution_for(provider)
    names = sorted({entry.name for entry in entries})
    if distribution is not None:
        hint = f"install it with: pip install {distribution}"
    elif close := _close_matches(provider, names, n=1):
        hint = f"did you mean {close[0]!r}?"
    else:
        hint = f"installed are: {', '.join(names) or 'none'}; install the plugin that offers it"
    return PluginNotFoundError(
        f"no installed plugin offers the provider {provider!r}", hint=hint, provider=provider
    )


def _close_matches(word: str, known: Sequence[str], *, n: int) -> list[str]:
    # Loaded for a mistake only: every start would pay for it otherwise.
    from difflib import get_close_matches

    return get_close_matches(word, known, n=n)

"""Plugins whose hooks are more than plain functions, or wrong: pluggy calls or refuses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import PluginLoadError
from ..process import gc_pause
from .known_providers import close_matches

if TYPE_CHECKING:
    from .discovery import EntryPoint


def managed_hooks(module: object, entry: EntryPoint) -> Mapping[str, Callable[..., Any]]:
    """Return the hooks of a plugin as pluggy calls them, by name.

    Raises:
        PluginLoadError: It implements a hook that does not exist, or with other arguments.
    """
    with gc_pause():
        import pluggy
    from ..contract import hookspecs

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=entry.name)
    # Its attributes are looked at, which may run its code.
    except (Exception, SystemExit) as exc:
        raise not_loaded(entry, exc) from exc
    hooks = vars(manager.hook)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as exc:
        known = sorted(name for name, each in hooks.items() if each.has_spec())
        unknown = next((name for name, each in hooks.items() if _is_unknown(each)), "")
        close = close_matches(unknown, known, n=1)
        raise PluginLoadError(
            f"the plugin {entry.name!r} from {entry.distribution} implements an unknown hook: "
            f"{unknown!r}",
            hint=f"did you mean {close[0]!r}?" if close else f"valid hooks: {', '.join(known)}",
            provider=entry.name,
        ) from exc
    return hooks


def _is_unknown(hook: Any) -> bool:
    return not hook.has_spec() and not all(each.optionalhook for each in hook.get_hookimpls())


def not_loaded(entry: EntryPoint, exc: BaseException) -> PluginLoadError:
    """Return the error for a plugin whose module cannot be imported, or whose hooks are wrong."""
    return PluginLoadError(
        f"cannot load the plugin {entry.name!r} from {entry.distribution}: {type(exc).__name__}",
        hint=f"reinstall {entry.distribution} from where you installed it",
        provider=entry.name,
    )

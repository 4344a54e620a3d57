"""The pluggy hooks that a plugin implements, and how to call them without pluggy.

pluggy and ``inspect``, which it imports, cost a start 8 ms, and all that pluggy does for a plugin
of plain functions is to call them. So it is loaded only where it would do more than that, or would
refuse the plugin: docs/decisions/0002-pluggy.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeVar, overload

from .key_wrapper import KeyWrapper
from .settings import Option, Settings

PROJECT = "ksm_storage"

# Where pluggy's markers keep what they were given.
_SPEC, _IMPL = f"{PROJECT}_spec", f"{PROJECT}_impl"
_NOTICE = {"firstresult": False, "historic": False, "warn_on_impl": None, "warn_on_impl_args": None}
_QUESTION = {**_NOTICE, "firstresult": True}
# Of a code object: it takes *args or **kwargs.
_TAKES_ANY = 0x04 | 0x08

_Function = TypeVar("_Function", bound=Callable[..., object])


@overload
def hookimpl(function: _Function, /) -> _Function: ...


@overload
def hookimpl(**options: Any) -> Callable[[_Function], _Function]: ...


def hookimpl(function: Any = None, /, **options: Any) -> Any:
    """Mark the function that implements the hook of its name; options are those of pluggy."""
    if function is None:
        import pluggy

        return pluggy.HookimplMarker(PROJECT)(**options)
    setattr(function, _IMPL, {})
    return function


def plain_hooks(module: object) -> Mapping[str, Callable[..., Any]] | None:
    """Return what implements the hooks of a plugin, by name; None if pluggy must look at it.

    What is returned takes all arguments of its hook by their names, as pluggy's callers do.
    """
    if type(module) is not ModuleType or "__dir__" in vars(module):
        return None
    found: dict[str, Callable[..., Any]] = {}
    for name, function in vars(module).items():
        # By its type, as asking a lazy object runs its code: what can be bound is a function.
        kind = type(function)
        if issubclass(kind, (staticmethod, classmethod)):
            return None
        if kind is not MethodType and not hasattr(kind, "__get__"):
            continue
        options = getattr(function, _IMPL, None)
        if options is None:
            continue
        wanted, offered = _arguments(function), _offered(globals().get(name))
        # A misspelt hook, an argument of none, an option or a wrapper: pluggy knows what it means.
        is_plain = isinstance(options, dict) and not any(options.values())
        if not is_plain or wanted is None or offered is None or not wanted <= offered:
            return None
        found[name] = function if wanted == offered else partial(_call, function, wanted)
    return found


def _offered(hook: object) -> frozenset[str] | None:
    """Return the names of the arguments that a hook passes; None if it is no hook of a plugin."""
    if getattr(hook, _SPEC, None) is not _QUESTION:
        return None
    return _arguments(hook)


def _arguments(function: object) -> frozenset[str] | None:
    """Return the names of a function's arguments; None if they are more than plain names."""
    if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
        return None
    code = function.__code__
    is_plain = not (code.co_posonlyargcount or code.co_kwonlyargcount or function.__defaults__)
    if not is_plain or code.co_flags & _TAKES_ANY:
        return None
    return frozenset(code.co_varnames[: code.co_argcount])


def _call(function: Callable[..., Any], wanted: frozenset[str], **given: object) -> Any:
    return function(**{name: given[name] for name in wanted})


def _question(function: _Function) -> _Function:
    """Mark a hook whose caller wants the one answer of the plugin."""
    setattr(function, _SPEC, _QUESTION)
    return function


def _notice(function: _Function) -> _Function:
    """Mark a hook that is called for its effect."""
    setattr(function, _SPEC, _NOTICE)
    return function


@_question
def key_wrapper_options() -> Sequence[Option]:  # type: ignore[empty-body]  # a hook has no body
    """Return the options that the plugin understands; must not import the service's SDK."""


@_question
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:  # type: ignore[empty-body]
    """Open the key wrapper of one KEK; must not call the network.

    Raises:
        SettingsError: The key id or a setting cannot be used.
    """


@_question
def recognise_key(text: str) -> str | None:
    """Return the key id if the text is the provider's own way to name a key, else None.

    It lets a user paste ``arn:aws:kms:...`` where a key URI is expected. Optional; must not
    import the service's SDK.
    """


@_question
def key_covers(trusted: str, key_id: str) -> bool | None:
    """Tell whether the trusted key id may stand for the resolved one, without the network.

    An alias may stand for any key of its region, a key without version for each of its
    versions. The DEK is then unwrapped by a key wrapper opened with the *trusted* key id, which
    must refuse a KEK that its name does not resolve to. Optional; equality is taken otherwise.
    """


@_question
def newest_version(key_id: str, algorithm: str, ciphertext: bytes) -> str | None:
    """Return the name by which the newest version of a recorded key wraps, without the network.

    An envelope records the version that wrapped. When the file is to be wrapped anew under the
    same key, it must not stay with a version that may be destroyed after a rotation. The wrapped
    DEK is given for a provider that keeps a public key in it. Optional; None, or no hook, where
    the recorded name is the one to wrap by.

    Raises:
        DecryptionError: The wrapped DEK does not belong to the key.
    """


@_notice
def audit_event(event: Mapping[str, object]) -> None:
    """Take note of what happened to a sealed file.

    Called for a module that a distribution offers in the entry-point group
    ``ksm_storage.audit_sinks``, and that the user named. An event holds names, numbers and times,
    never a secret. An exception from the hook stops nothing; the user is warned once that events
    are lost.
    """

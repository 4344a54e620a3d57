"""Hooks that are called without pluggy have the answers that they would have through it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pluggy
import pytest

from ksm_storage.contract import hookspecs
from ksm_storage.contract.hookspecs import plain_hooks
from ksm_storage.keys.discovery import BUILT_IN, EntryPoint, find_entry_points

HEAD = "from ksm_storage.plugin import hookimpl\n"

ODD = {
    "a misspelt hook": "@hookimpl\ndef recognise_keys(text): ...",
    "an argument of none": "@hookimpl\ndef recognise_key(words): ...",
    "an option": "@hookimpl(tryfirst=True)\ndef recognise_key(text): ...",
    "an optional hook": "@hookimpl(optionalhook=True)\ndef of_tomorrow(text): ...",
    "a hook by another name": "@hookimpl(specname='recognise_key')\ndef found(text): ...",
    "a wrapper": "@hookimpl(wrapper=True)\ndef recognise_key(text):\n    return (yield)",
    "the hook of a sink": "@hookimpl\ndef audit_event(event): ...",
    "a default": "@hookimpl\ndef recognise_key(text=None): ...",
    "any arguments": "@hookimpl\ndef recognise_key(**given): ...",
    "an argument without a name": "@hookimpl\ndef recognise_key(text, /): ...",
    "an argument by name alone": "@hookimpl\ndef recognise_key(*, text): ...",
    "a method": (
        "class Hooks:\n    @hookimpl\n    def recognise_key(self, text): ...\n"
        "recognise_key = Hooks().recognise_key"
    ),
    "a function that stands for another": (
        "from functools import wraps\n"
        "def inner(words): ...\n"
        "@hookimpl\n@wraps(inner)\ndef recognise_key(text): ..."
    ),
    "a static method": "@hookimpl\n@staticmethod\ndef recognise_key(text): ...",
    "a static method over a hook": "@staticmethod\n@hookimpl\ndef recognise_key(text): ...",
    "a function that remembers": (
        "from functools import cache\n@hookimpl\n@cache\ndef recognise_key(text): ..."
    ),
    "names of its own making": "def __dir__(): return []",
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_more_than_a_plain_function_is_for_pluggy_to_judge(odd: str) -> None:
    assert plain_hooks(_module(ODD[odd])) is None


def test_an_object_with_hooks_is_for_pluggy_to_judge() -> None:
    assert plain_hooks(object()) is None


@pytest.mark.parametrize(
    "entry",
    [each for each in find_entry_points() if each.name not in BUILT_IN],
    ids=lambda entry: entry.name,
)
def test_pluggy_finds_the_same_hooks_in_each_of_our_plugins(entry: EntryPoint) -> None:
    module = import_module(entry.module)
    manager = _managed(module)

    plain = plain_hooks(module)

    assert plain is not None
    assert {*plain} == {name for name, hook in vars(manager.hook).items() if hook.get_hookimpls()}


@pytest.mark.parametrize("arguments", ["key_id, algorithm, ciphertext", "ciphertext, key_id", ""])
def test_a_hook_gets_the_arguments_that_it_names(arguments: str) -> None:
    module = _module(f"@hookimpl\ndef newest_version({arguments}): return repr(locals())")
    given = {"key_id": "k", "algorithm": "a", "ciphertext": b"c"}
    expected = _managed(module).hook.newest_version(**given)

    plain = plain_hooks(module)

    assert plain is not None
    assert plain["newest_version"](**given) == expected


def _module(code: str) -> ModuleType:
    module = ModuleType("planted")
    exec(HEAD + code, vars(module))
    return module


def _managed(module: ModuleType) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    return manager

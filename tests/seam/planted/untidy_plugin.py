"""A plugin whose key wrapper is right and whose hooks are wrong in every way that is checked."""

from __future__ import annotations

from collections.abc import Sequence

from ksm_storage.plugin import KeyWrapper, Option, Settings, hookimpl
from tests.seam.planted import planted_plugin, planted_sdk  # noqa: F401  # the fault: the SDK


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    return [
        Option("fault", "none"),
        Option("no_such_option", "", int, default="many"),
    ]


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    return planted_plugin.Planted(key_id, planted_plugin.SERVICE)


@hookimpl
def recognise_key(text: str) -> str | None:
    return "keys/two"


@hookimpl
def key_covers(trusted: str, key_id: str) -> bool:
    return trusted != "alias/one"

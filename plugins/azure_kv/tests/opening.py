"""Open key wrappers as the core does."""

from __future__ import annotations

from collections.abc import Mapping

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.discovery import find_plugin
from ksm_storage.keys.kek import Kek
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.plugin import Aad, KeyWrapper

AAD = Aad({"purpose": "ksm-storage", "envelope": "00112233445566778899aabbccddeeff", "env": "prod"})


def open_kek(key: str, settings: Mapping[str, object] | None = None, **more: object) -> Kek:
    """Return the KEK of a key name; later settings go before earlier ones."""
    return Kek.open(KeyUri("azure-kv", key), {"azure-kv": {**(settings or {}), **more}})


def open_wrapper(key: str, settings: Mapping[str, object]) -> KeyWrapper:
    """Return the plugin's own key wrapper, without the checks that the core adds."""
    plugin = find_plugin("azure-kv")
    gathered = gather_settings(KeyUri("azure-kv", key), plugin.options(), {"azure-kv": settings})
    return plugin.open_key_wrapper(key, gathered)

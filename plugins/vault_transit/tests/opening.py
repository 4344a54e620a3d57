"""Open key wrappers as the core does it, through the hooks and checked settings."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ksm_storage_vault_transit.key_wrapper import TransitKeyWrapper

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.discovery import find_plugin
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.plugin import DEK_BYTES, Aad

AAD = Aad({"envelope": "00112233", "env": "prod"})


def opened(key_id: str, settings: Mapping[str, object]) -> TransitKeyWrapper:
    """Return the key wrapper of a key."""
    plugin = find_plugin("vault-transit")
    uri = KeyUri("vault-transit", key_id)
    gathered = gather_settings(uri, plugin.options(), {"vault-transit": settings})
    wrapper = plugin.open_key_wrapper(key_id, gathered)
    assert isinstance(wrapper, TransitKeyWrapper)
    return wrapper


def new_dek() -> bytes:
    """Return a fresh data key."""
    return os.urandom(DEK_BYTES)

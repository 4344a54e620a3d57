"""Key wrappers as the core opens them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ksm_storage_tpm2.key_wrapper import TpmKeyWrapper

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.discovery import find_plugin
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.plugin import Aad

AAD = Aad({"ksm-storage.purpose": "wrap-dek", "env": "prod"})


def opened(
    key_id: str, settings: Mapping[str, object], more: Mapping[str, object] | None = None
) -> TpmKeyWrapper:
    """Open a key wrapper."""
    plugin = find_plugin("tpm2")
    given = {"tpm2": {**settings, **(more or {})}}
    gathered = gather_settings(KeyUri("tpm2", key_id), plugin.options(), given)
    wrapper = plugin.open_key_wrapper(key_id, gathered)
    assert isinstance(wrapper, TpmKeyWrapper)
    return wrapper


def new_dek() -> bytes:
    """Draw a data key."""
    return os.urandom(32)

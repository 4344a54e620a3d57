"""A plugin whose key wrapper describes its key and counts how often it is asked."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ksm_storage.plugin import (
    Aad,
    KeyDescription,
    KeyWrapper,
    Option,
    Settings,
    WrappedDek,
    hookimpl,
)
from ksm_storage.testing.memory_kek import MemoryKek

asked: list[str] = []
failing: list[Exception] = []


class Describing(MemoryKek):
    def describe_key(self) -> KeyDescription:
        asked.append(self._key_id)
        # Long enough for other threads to ask as well, if nothing stops them.
        time.sleep(0.02)
        if failing:
            raise failing[0]
        return KeyDescription(self._key_id, "enabled", current_version="8")

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:
        return wrapped.ciphertext.decode().rpartition(" ")[2]


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    return []


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    return Describing(key_id)

"""The slow functions of ``ksm_storage`` for asyncio, under the same names.

Each runs in a thread, so the event loop is not blocked while a key service answers. A cancelled
caller continues at once; the thread finishes its work, and a file is either the old or the new one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence

from .contract.key_wrapper import KeyUri
from .keys.setting_sources import Arguments
from .storage.encrypted_storage import EncryptedStorage
from .storage.sources import open_storage as open_storage_now


async def open_storage(
    path: str | os.PathLike[str] | None = None,
    *,
    keys: Sequence[str | KeyUri] | None = None,
    settings: Arguments | None = None,
    context: Mapping[str, str] | None = None,
    profile: str | None = None,
    timeout: float | None = None,
    hedge: float | None = None,
) -> EncryptedStorage:
    """Open a sealed configuration as :func:`ksm_storage.open_storage` does."""
    return await asyncio.to_thread(
        open_storage_now,
        path,
        keys=keys,
        settings=settings,
        context=context,
        profile=profile,
        timeout=timeout,
        hedge=hedge,
    )

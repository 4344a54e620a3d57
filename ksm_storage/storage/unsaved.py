"""What may stay in memory where a storage cannot be written; loaded only there."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..errors import StorageError

# What Keeper's clients write by themselves and find out again at need.
CACHED_BY_CLIENTS = frozenset({"serverPublicKeyId"})

Config = dict[str, str]


def cached_changes(
    config: Config, change: Callable[[Config], object], cause: StorageError, *, is_first: bool
) -> Config:
    """Return the values that a change sets, if a client only caches them; log the first time.

    Raises:
        StorageError: The cause: the change does something else.
    """
    after = dict(config)
    change(after)
    changed = {name for name in {*config, *after} if config.get(name) != after.get(name)}
    if not changed or not changed <= CACHED_BY_CLIENTS & after.keys():
        raise cause
    if is_first:
        logging.getLogger("ksm_storage.storage").warning(
            "note: %s cannot be saved and is kept in memory: %s",
            ", ".join(sorted(changed)),
            cause.message,
        )
    return {name: after[name] for name in changed}

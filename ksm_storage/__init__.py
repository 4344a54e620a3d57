"""Keep a Keeper Secrets Manager configuration sealed under keys that live elsewhere."""

from __future__ import annotations

# As type checkers know it; importing it from typing would cost more than all of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .storage.protecting import protect
    from .storage.rekeying import rekey
    from .storage.rewrapping import rewrap
    from .storage.sources import open_storage

__version__ = "0.1.0"
__all__ = ["open_storage", "protect", "rekey", "rewrap"]


# Where each of them is.
_PLACES = {
    "open_storage": ".storage.sources",
    "protect": ".storage.protecting",
    "rekey": ".storage.rekeying",
    "rewrap": ".storage.rewrapping",
}


def __getattr__(name: str) -> object:
    # Resolved at first use: what only wants the version or an error class loads no cryptography.
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from .process import gc_pause

    with gc_pause():
        found = getattr(import_module(place, __name__), name)
    # From now on it is found here without this function.
    globals()[name] = found
    return found

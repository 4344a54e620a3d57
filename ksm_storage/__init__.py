"""Keep a Keeper Secrets Manager configuration sealed under keys that live elsewhere."""

from __future__ import annotations

# As type checkers know it; importing it from typing would cost more than all of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .storage.opening import open_storage
    from .storage.protecting import protect
    from .storage.rekeying import rekey
    from .storage.rewrapping import rewrap

__version__ = "0.1.0"
__all__ = ["open_storage", "protect", "rekey", "rewrap"]


def __getattr__(name: str) -> object:
    # Resolved at first use: what only wants the version or an error class loads no cryptography.
    if name == "open_storage":
        from .storage.opening import open_storage

        return open_storage
    if name == "protect":
        from .storage.protecting import protect

        return protect
    if name == "rekey":
        from .storage.rekeying import rekey

        return rekey
    if name == "rewrap":
        from .storage.rewrapping import rewrap

        return rewrap
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

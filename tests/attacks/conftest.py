"""The fixtures that the attacks share with the tests of the storage."""

from __future__ import annotations

from tests.start_cache.kernel_session import session_keyring
from tests.unit.storage.fixtures import folder, key, sealed, shared_folder
from tests.unit.storage.planted import counted

__all__ = ["counted", "folder", "key", "sealed", "session_keyring", "shared_folder"]

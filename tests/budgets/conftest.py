"""The fixtures that these tests share with the ones of the storage."""

from __future__ import annotations

from tests.unit.storage.fixtures import folder, key, sealed

__all__ = ["folder", "key", "sealed"]

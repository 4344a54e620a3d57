"""Read the configuration of a container without a writable disk, from KSM_STORAGE_CONFIG."""

from __future__ import annotations

from ksm_storage import open_storage

# No path: the envelope in $KSM_STORAGE_CONFIG goes before any file. Give it to the SDK as
# SecretsManager(config=storage).
storage = open_storage()
print(f"bound to {storage.get('hostname')}")

"""Read one password with the official SDK, through the relay."""

from __future__ import annotations

import os

from keeper_secrets_manager_core import SecretsManager
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage

manager = SecretsManager(config=InMemoryKeyValueStorage(os.environ["KSM_CONFIG"]))
for record in manager.get_secrets():
    print(f"read {record.title}")

"""A client device of a local vault, bound by the command into a sealed file."""

from __future__ import annotations

from pathlib import Path

from ksm_storage_local_vault.testing import LocalVault

from tests.cli.command import key_file, run


def bind_device(vault: LocalVault, folder: Path) -> Path:
    """Bind a new device with ``init`` and return its file."""
    done = run(
        *("init", str(folder / "c.json"), "--key", key_file(folder)),
        *("--hostname", vault.address, "--ca-file", vault.ca_file),
        *("--server-key", vault.server_public_key, "--server-key-id", vault.server_public_key_id),
        stdin=vault.new_client().token,
    )
    assert done.returncode == 0, done.stderr
    return folder / "c.json"

"""The official class for Azure Key Vault, redirected to the emulator, in a separate process."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from keeper_secrets_manager_storage.storage_azure_keyvault import (
    AzureKeyValueStorage,
    AzureSessionConfig,
)

_resolve = socket.getaddrinfo


def open_official(path: Path, *, kid: str, port: int) -> Any:
    """Open a file with the class; the sign-in host and the vault resolve to the emulator."""

    def resolved(_host: Any, _port: Any, *more: Any, **named: Any) -> Any:
        return _resolve("127.0.0.1", port, *more, **named)

    # Names of Microsoft's own, which the class and its clients check, for as long as the process
    # lives.
    socket.getaddrinfo = resolved  # type: ignore[assignment]  # it takes what it hands on
    session = AzureSessionConfig(
        os.environ["AZURE_TENANT_ID"],
        os.environ["AZURE_CLIENT_ID"],
        os.environ["AZURE_CLIENT_SECRET"],
    )
    return AzureKeyValueStorage(kid, str(path), session)

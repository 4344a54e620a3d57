"""Who asks the emulator: an application, an identity, or a command that prints a token."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from ksm_storage_emulators.azure_key_vault.directory import Application, Principal
from ksm_storage_emulators.azure_key_vault.vaults import EVERYTHING

from ksm_storage import errors

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import DEK


class Caller:
    """Somebody who may use one key, with the settings that lead there."""

    def __init__(self, emulator: EmulatedVault) -> None:
        self.emulator = emulator
        self.vault = emulator.shared_vault()
        self.key = emulator.shared_key(self.vault, "one").kid
        self.directory = emulator.service.directory

    def application(self) -> Application:
        """Return an application that may use the key."""
        application = self.directory.add_application("app")
        self.allow(application.principal)
        return application

    def allow(self, principal: Principal) -> None:
        """Let a principal use the key."""
        self.vault.grant(principal.object_id, [EVERYTHING])

    def works(self, **settings: object) -> bool:
        """Say whether the key wraps and unwraps with these settings."""
        with open_kek(self.key, self.emulator.wire_settings, **settings) as kek:
            return kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK

    def refused(self, **settings: object) -> errors.KsmStorageError:
        """Return the error with which a wrap fails."""
        with (
            open_kek(self.key, self.emulator.wire_settings, **settings) as kek,
            pytest.raises(errors.KsmStorageError) as caught,
        ):
            kek.wrap(DEK, aad=AAD)
        return caught.value

    def named(self, application: Application) -> Mapping[str, object]:
        """Return the settings that name an application, without proof."""
        return {
            "tenant_id": self.directory.tenant_id,
            "client_id": application.principal.client_id,
            "authority_host": self.emulator.url,
        }


def write_command(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put a command ``az`` on the path that runs a Python text."""
    command = folder / "az"
    command.write_text(f"#!{sys.executable}\n{text}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))


needs_posix = pytest.mark.skipif(os.name != "posix", reason="the command is a POSIX script")

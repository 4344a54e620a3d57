"""The owner's secrets: private key and application keys, in a file that the server never sees."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from ...errors import SettingsError, StorageError
from ...wire.base64_forms import from_base64, to_base64
from ...wire.identity import new_private_key, private_key_from_text, private_key_to_text
from ..private_file import make_private_folder, read_private, write_private

VERSION = 1


class KeyringFile(Protocol):
    """Where a keyring is kept; a sealed file can take the plain one's place."""

    def read(self) -> bytes | None:
        """Return the content, or None where there is none yet."""

    def write(self, content: bytes) -> None:
        """Replace the content, durably."""


@dataclass(frozen=True, slots=True)
class PlainKeyringFile:
    """Keep the keyring as plain JSON with mode 0600: good for development, for nothing else."""

    path: Path

    def read(self) -> bytes | None:
        """Return the content, or None where there is no file."""
        return read_private(self.path) if self.path.exists() else None

    def write(self, content: bytes) -> None:
        """Replace the file, durably."""
        make_private_folder(self.path.parent)
        write_private(self.path, content)


@dataclass(frozen=True, slots=True)
class OwnedApplication:
    """An application with its key, which opens everything that is shared with it."""

    app_uid: str
    name: str
    key: bytes = field(repr=False)


@dataclass(slots=True)
class OwnerKeyring:
    """Hold what only the owner knows of one vault."""

    vault_id: str
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    applications: dict[str, OwnedApplication] = field(default_factory=dict)
    client_names: dict[str, str] = field(default_factory=dict)

    @classmethod
    def new(cls, vault_id: str) -> OwnerKeyring:
        """Return an empty keyring with a fresh key pair."""
        return cls(vault_id, new_private_key())

    @classmethod
    def parse(cls, content: bytes, *, vault_id: str) -> OwnerKeyring:
        """Return the keyring of this vault.

        Raises:
            SettingsError: It belongs to another vault.
            StorageError: It is not a keyring.
        """
        try:
            parts = json.loads(content)
            keyring = cls(
                parts["vaultId"],
                private_key_from_text(parts["privateKey"]),
                {uid: _application(uid, item) for uid, item in parts["applications"].items()},
                dict(parts["clients"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise StorageError("the owner's file is not a keyring of a local vault") from exc
        if keyring.vault_id != vault_id:
            raise SettingsError(
                "the owner's file belongs to another vault",
                hint="give the --data and --owner that were made together",
            )
        return keyring

    def to_bytes(self) -> bytes:
        """Return the form that :meth:`parse` reads."""
        parts = {
            "version": VERSION,
            "vaultId": self.vault_id,
            "privateKey": private_key_to_text(self.private_key),
            "applications": {
                item.app_uid: {"name": item.name, "key": to_base64(item.key)}
                for item in self.applications.values()
            },
            "clients": self.client_names,
        }
        return json.dumps(parts, indent=2).encode()

    def application(self, name: str) -> OwnedApplication:
        """Return the application of this uid or name; raise SettingsError for none or several."""
        if name in self.applications:
            return self.applications[name]
        found = [item for item in self.applications.values() if item.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise SettingsError(f"several applications are called {name!r}", hint="give the uid")
        raise SettingsError(
            f"there is no application {name!r}", hint="make one with: vault app create NAME"
        )


def _application(app_uid: str, parts: dict[str, str]) -> OwnedApplication:
    return OwnedApplication(app_uid, parts["name"], from_base64(parts["key"]))

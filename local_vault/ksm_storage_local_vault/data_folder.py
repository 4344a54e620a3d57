"""Where the files of a vault are, and how they are written: private, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ksm_storage.errors import SettingsError, StorageError
from ksm_storage.files.reading import not_found
from ksm_storage.files.replacement import Replacement


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Name the server's files; the owner's secrets are in none of them."""

    path: Path

    @property
    def database(self) -> Path:
        """The SQLite file: ciphertext, public keys and hashes."""
        return self.path / "vault.sqlite3"

    @property
    def keys(self) -> Path:
        """The server's own private keys: transport only, none of them opens a record."""
        return self.path / "keys"

    @property
    def ca_certificate(self) -> Path:
        """The certificate that a client trusts."""
        return self.path / "ca.pem"

    @property
    def address_file(self) -> Path:
        """Where the running server listens; absent after a graceful stop."""
        return self.path / "address.json"

    @property
    def serving_lock(self) -> Path:
        """What a running server holds, so that no second one serves the same folder."""
        return self.path / "serving.lock"

    @property
    def default_owner_file(self) -> Path:
        """The owner's keyring by default: beside the data folder, never in it."""
        return self.path.with_name(f"{self.path.name}-owner") / "owner.json"

    def make(self) -> None:
        """Make the folders, private to the user; existing ones stay as they are."""
        make_private_folder(self.path)
        make_private_folder(self.keys)

    def refuse_inside(self, owner_file: Path) -> None:
        """Raise SettingsError for an owner's file among the server's files."""
        if self.path.resolve() in owner_file.resolve().parents:
            raise SettingsError(
                f"the owner's file {str(owner_file)!r} is inside the server's data folder",
                hint="the server must not hold the owner's keys; choose another place with --owner",
            )

    def write_address(self, address: str) -> None:
        """Note where the server listens, for the commands that print it."""
        write_private(self.address_file, json.dumps({"address": address}).encode())

    def read_address(self) -> str | None:
        """Return ``host:port`` of the running server, or None when it does not run."""
        if not self.address_file.exists():
            return None
        address = json.loads(read_private(self.address_file)).get("address")
        return address if isinstance(address, str) else None


def write_private(path: Path, content: bytes) -> None:
    """Replace the file with the content, durably and with mode 0600.

    Raises:
        StorageError: The folder or the disk failed; the old file stands.
    """
    try:
        with Replacement.of(str(path), content, mode=0o600) as new:
            new.commit()
    except OSError as exc:
        raise StorageError(f"cannot write {str(path)!r}: {exc.strerror}") from exc


def read_private(path: Path) -> bytes:
    """Return the whole file; raise StorageError when it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise not_found(path) from exc
    except OSError as exc:
        raise StorageError(f"cannot read {str(path)!r}: {exc.strerror}") from exc


def make_private_folder(path: Path) -> None:
    """Make the folder with mode 0700 where it does not exist; one that exists stays as it is."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise StorageError(f"cannot create the folder {str(path)!r}: {exc.strerror}") from exc

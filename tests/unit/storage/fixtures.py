"""A configuration, a key file, and a file that is sealed under it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.providers.key_file import key_uri_of, write_key_file

CONFIG = {
    "hostname": "keepersecurity.com",
    "clientId": "Y2xpZW50LWlk",
    "privateKey": "cHJpdmF0ZS1rZXk=",
    "appKey": "YXBwLWtleQ==",
    "serverPublicKeyId": "10",
}


def new_key(path: Path) -> str:
    """Make a key file and return its URI."""
    write_key_file(str(path))
    return key_uri_of(path)


def write_plain(path: Path, config: dict[str, str] | None = None) -> Path:
    """Write a plain configuration as the official SDK does."""
    path.write_text(json.dumps(config or CONFIG, indent=4, sort_keys=True))
    return path


def settle(path: Path) -> None:
    """Make a file look as if it was written a while ago, so that one ``stat`` proves it the same.

    The change time cannot be set: it is that which was waited for if the file is not fresh.
    """
    while not _is_settled(path):
        os.sched_yield()


def alter_staged_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the medium give back a staged copy of a file with one bit changed."""
    read = os.read

    def altered(descriptor: int, size: int) -> bytes:
        raw = read(descriptor, size)
        staged = os.readlink(f"/proc/self/fd/{descriptor}").endswith(".ksm-tmp")
        return raw[:-3] + bytes([raw[-3] ^ 1]) + raw[-2:] if staged and raw else raw

    monkeypatch.setattr(os, "read", altered)


def names_in(folder: Path) -> list[str]:
    """Return what lies in a folder."""
    return sorted(os.listdir(folder))


@pytest.fixture
def key(tmp_path: Path) -> str:
    """Name a key file that nothing was sealed under yet; it lies in a folder of its own."""
    (tmp_path / "keys").mkdir()
    return new_key(tmp_path / "keys/app.key")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder in which nothing lies."""
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


@pytest.fixture
def sealed(folder: Path, key: str) -> Path:
    """Seal the configuration in a file that is alone in its folder."""
    path = write_plain(folder / "client-config.json")
    ksm_storage.protect(path, keys=[key])
    return path


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """Give a folder that another user may enter; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="ksm-storage-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def _is_settled(path: Path) -> bool:
    from ksm_storage.files.reading import signature_of

    return signature_of(os.stat(path)).settled

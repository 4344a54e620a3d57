"""What a save leaves of a file's access, who gets to save, what may stand behind an envelope."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.errors import EnvelopeError, StorageError
from ksm_storage.files.lock import locked
from tests.attacks.claims import the_attacker
from tests.unit.storage import forked

ACL = "system.posix_acl_access"


@the_attacker("appends bytes to an envelope")
@pytest.mark.parametrize("rest", [b"junk", b"\xff" * 600, b"{}", b"\0" * 700 + b"#!/bin/sh\n"])
@pytest.mark.parametrize("gap", [0, 1, 600])
def test_an_envelope_with_appended_bytes_is_refused(rest: bytes, gap: int, sealed: Path) -> None:
    sealed.write_bytes(sealed.read_bytes() + bytes(gap) + rest)

    with pytest.raises(EnvelopeError):
        ksm_storage.open_storage(sealed)
    assert main(["check", str(sealed)]) == EnvelopeError.exit_code


@the_attacker("saves the same file without pause")
def test_a_writer_is_not_overtaken_by_one_that_never_pauses(sealed: Path) -> None:
    ended = threading.Event()

    def busy() -> None:
        while not ended.is_set():
            with locked(str(sealed)):
                ended.wait(0.002)

    others = [threading.Thread(target=busy) for _ in range(8)]
    for thread in others:
        thread.start()
    try:
        for _ in range(10):
            with locked(str(sealed), timeout_seconds=5):
                pass
    finally:
        ended.set()
        for thread in others:
            thread.join()


@the_attacker("makes a storage read-only, so that a client cannot save what it learns")
def test_a_client_on_a_read_only_mount_keeps_the_servers_key_and_nothing_else(
    folder: Path, key: str
) -> None:
    path = folder / "config"
    ksm_storage.open_storage(path, keys=[key]).set("hostname", "h")

    def work() -> None:
        storage = ksm_storage.open_storage(path)
        before = path.read_bytes()
        for number in ("17", "16"):
            storage.set("serverPublicKeyId", number)
        with pytest.raises(StorageError, match="Read-only file system"):
            storage.set("hostname", "attacker.example")
        assert storage.read_storage() == {"hostname": "h", "serverPublicKeyId": "16"}
        assert path.read_bytes() == before

    assert forked.run_with_mount(["--bind", "-o", "ro", str(folder), str(folder)], work) == 0


@the_attacker("waits for a save to loosen the access to the file")
@pytest.mark.parametrize("refused", ["fchmod", "setxattr"])
def test_access_is_kept_where_a_new_file_cannot_have_it(
    refused: str, sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    sealed.chmod(0o640)
    inode = sealed.stat().st_ino
    if refused == "setxattr":
        monkeypatch.setattr("os.listxattr", lambda _path: [ACL])
        monkeypatch.setattr("os.getxattr", lambda file, _name: str(file).encode())
    monkeypatch.setattr(f"os.{refused}", refuse)

    ksm_storage.open_storage(sealed).set("hostname", "h")

    assert (sealed.stat().st_ino, sealed.stat().st_mode & 0o777) == (inode, 0o640)

"""A KEK in a file: which files are taken, which are refused, and how they are named."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

from ksm_storage.contract.key_wrapper import Aad, KeyUri, KeyWrapper
from ksm_storage.errors import (
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    KsmStorageError,
    PermissionDeniedError,
    SettingsError,
    StorageError,
)
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.providers import key_file
from ksm_storage.providers.key_file import key_uri_of, path_of, read_key_file, write_key_file

AAD = Aad({"purpose": "test"})
DEK = bytes(range(32))

posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no modes, owners or FIFOs")
root_only = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root can give a file away"
)
no_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root may read every file"
)


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    return written(tmp_path / "app.key")


def written(path: Path, content: bytes = b"\x07" * 32, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def opened(path: Path, /, **settings: object) -> KeyWrapper:
    uri = KeyUri.parse(key_uri_of(path))
    gathered = gather_settings(uri, key_file.key_wrapper_options(), {"key-file": settings})
    return key_file.open_key_wrapper(uri.key_id, gathered)


def test_what_is_wrapped_is_unwrapped_by_another_wrapper(key_path: Path) -> None:
    assert opened(key_path).unwrap(opened(key_path).wrap(DEK, aad=AAD), aad=AAD) == DEK


@pytest.mark.parametrize("name", ["my key.key", "schlüssel-鍵.key", "100%.key", "a#b?c.key", "%41"])
def test_any_name_of_a_file_is_a_key_uri_and_back(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)

    assert path_of(KeyUri.parse(key_uri_of(path)).key_id) == str(path)
    assert opened(path).unwrap(opened(path).wrap(DEK, aad=AAD), aad=AAD) == DEK


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (PureWindowsPath(r"C:\keys\app.key"), "key-file:///C:/keys/app.key"),
        (PureWindowsPath(r"C:\my keys\é.key"), "key-file:///C:/my%20keys/%C3%A9.key"),
        (PureWindowsPath(r"\\server\share\app.key"), "key-file:////server/share/app.key"),
    ],
)
def test_a_windows_path_has_a_uri(path: PureWindowsPath, uri: str) -> None:
    assert key_uri_of(path) == uri
    assert PureWindowsPath(path_of(KeyUri.parse(uri).key_id)) == path


def test_a_folder_of_one_letter_is_no_drive() -> None:
    assert path_of("/c/app.key") == "/c/app.key"


@pytest.mark.parametrize("path", ["app.key", "./app.key", "keys/app.key"])
def test_a_relative_path_is_refused_and_the_absolute_one_told(path: str) -> None:
    settings = gather_settings(KeyUri("key-file", path), key_file.key_wrapper_options())

    with pytest.raises(SettingsError, match="must be an absolute path") as failure:
        key_file.open_key_wrapper(path, settings)

    assert key_uri_of(os.path.abspath(path)) in str(failure.value.hint)


@pytest.mark.parametrize(
    "key_id",
    ["//server/share/app.key", "/%5Cserver/app.key", "%5C%5Cserver%5Capp.key", "//%3F/C:/app.key"],
)
def test_an_envelope_cannot_name_a_network_share(key_id: str) -> None:
    settings = gather_settings(KeyUri("key-file", key_id), key_file.key_wrapper_options())

    with pytest.raises(SettingsError, match="network share") as failure:
        key_file.open_key_wrapper(key_id, settings)

    assert "setting 'path'" in str(failure.value.hint)


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not a valid file name"):
        opened(Path(f"{tmp_path}/a\0b"))


@posix_only
def test_a_name_that_is_no_text_is_a_key_uri_and_back(tmp_path: Path) -> None:
    path = written(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.key")))

    assert key_uri_of(path).endswith("/%FF.key")
    assert opened(path).unwrap(opened(path).wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_opening_reads_nothing(tmp_path: Path) -> None:
    assert opened(tmp_path / "gone.key").binds_aad


@pytest.mark.parametrize("place", ["gone.key", "no-folder/app.key", "file/app.key"])
def test_a_missing_file_is_a_missing_key(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(KeyNotFoundError) as failure:
        opened(tmp_path / place).wrap(DEK, aad=AAD)

    assert failure.value.hint


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64, 100_000])
def test_a_file_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(KeyStateError, match="exactly 32 bytes"):
        read_key_file(str(written(tmp_path / "app.key", bytes(size))))


@posix_only
@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602, 0o610, 0o601, 0o660, 0o644, 0o666, 0o444])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(PermissionDeniedError, match="accessible to other users") as failure:
        read_key_file(str(written(tmp_path / "my app.key", mode=mode)))

    assert f"chmod 600 '{tmp_path}/my app.key'" in str(failure.value.hint)


@posix_only
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_its_owner_alone_is_taken(tmp_path: Path, mode: int) -> None:
    assert len(read_key_file(str(written(tmp_path / "app.key", mode=mode)))) == 32


@root_only
@pytest.mark.parametrize("owner", [12345, 65534])
def test_a_file_of_another_user_is_refused(key_path: Path, owner: int) -> None:
    os.chown(key_path, owner, -1)

    with pytest.raises(PermissionDeniedError, match="another user") as caught:
        read_key_file(str(key_path))

    # Root looks at the file of a service; the owner that a container does not know, nobody can be.
    assert ("sudo -u '#12345'" in str(caught.value.hint)) is (owner == 12345)
    assert "sudo" not in str(caught.value.hint) or owner == 12345


@no_root
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermissionDeniedError, match="cannot read"):
        read_key_file(str(written(tmp_path / "app.key", mode=0o000)))


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="there is no such file here")
def test_a_file_that_fails_to_be_read_is_told_with_the_cause() -> None:
    # A regular file of ours that opens, and whose first byte nobody can read.
    with pytest.raises(PermissionDeniedError, match=r"cannot read the key file .*: Input/output"):
        read_key_file("/proc/self/mem")


def make_folder(path: Path) -> None:
    path.mkdir(mode=0o700)


def make_fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def make_fifo_with_writer(path: Path) -> None:
    os.mkfifo(path, 0o600)
    # Reading it would give 32 bytes: only the kind of the file is wrong.
    os.write(os.open(path, os.O_RDWR), b"\x07" * 32)


def make_link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@posix_only
@pytest.mark.parametrize(
    "make", [make_folder, make_fifo, make_fifo_with_writer, make_link_to_device]
)
def test_what_is_no_regular_file_is_refused_without_hanging(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "app.key")

    with pytest.raises(KeyStateError, match="not a regular file"):
        read_key_file(str(tmp_path / "app.key"))


@posix_only
def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("app.key")

        with pytest.raises(PermissionDeniedError, match="cannot read"):
            read_key_file(str(tmp_path / "app.key"))


@posix_only
def test_a_link_to_a_safe_file_is_followed(tmp_path: Path, key_path: Path) -> None:
    (tmp_path / "link.key").symlink_to(key_path)

    assert read_key_file(str(tmp_path / "link.key")) == key_path.read_bytes()


@posix_only
def test_a_link_to_an_unsafe_file_is_refused(tmp_path: Path, key_path: Path) -> None:
    key_path.chmod(0o644)
    (tmp_path / "link.key").symlink_to(key_path)

    with pytest.raises(PermissionDeniedError):
        read_key_file(str(tmp_path / "link.key"))


@posix_only
def test_a_dangling_link_is_a_missing_key(tmp_path: Path) -> None:
    (tmp_path / "link.key").symlink_to(tmp_path / "gone.key")

    with pytest.raises(KeyNotFoundError):
        read_key_file(str(tmp_path / "link.key"))


def test_another_key_file_is_a_decryption_error(tmp_path: Path, key_path: Path) -> None:
    wrapped = opened(key_path).wrap(DEK, aad=AAD)
    written(key_path, b"\x08" * 32)

    with pytest.raises(DecryptionError):
        opened(key_path).unwrap(wrapped, aad=AAD)


def test_a_moved_file_is_found_through_the_setting(tmp_path: Path, key_path: Path) -> None:
    wrapped = opened(key_path).wrap(DEK, aad=AAD)
    moved = key_path.rename(tmp_path / "moved.key")

    with pytest.raises(KeyNotFoundError):
        opened(key_path).unwrap(wrapped, aad=AAD)
    assert opened(key_path, path=str(moved)).unwrap(wrapped, aad=AAD) == DEK


def test_a_relative_path_in_the_setting_is_refused_and_not_repeated(key_path: Path) -> None:
    with pytest.raises(SettingsError, match="must be an absolute path") as failure:
        opened(key_path, path="perhaps-the-key-itself")

    assert "itself" not in f"{failure.value} {failure.value.hint}"


@pytest.mark.parametrize("path", ["/moved\0.key", "/moved\ud800.key"])
def test_a_name_that_no_file_can_have_is_refused_in_the_setting(key_path: Path, path: str) -> None:
    with pytest.raises(SettingsError, match="not a valid file name"):
        opened(key_path, path=path)


def test_nothing_of_the_key_is_in_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "app.key", b"SECRETSECRETSECRETSECRETSECRETSEC")

    with pytest.raises(KsmStorageError) as failure:
        read_key_file(str(path))

    assert "SECRET" not in repr(failure.value.as_dict())


def test_a_new_key_file_holds_32_random_bytes_and_is_taken(tmp_path: Path) -> None:
    first, second = (Path(write_key_file(tmp_path / name)) for name in ("one.key", "two.key"))

    assert read_key_file(str(first)) == first.read_bytes()
    assert first.read_bytes() != second.read_bytes()


@posix_only
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_key_file_is_its_owners_alone_from_the_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    modes: list[int] = []
    opened = os.open

    def observing(path: str, flags: int, *args: Any, **kwargs: Any) -> int:
        descriptor = opened(path, flags, *args, **kwargs)
        if flags & os.O_CREAT:
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", observing)
    before = os.umask(umask)
    try:
        write_key_file(tmp_path / "app.key")
    finally:
        os.umask(before)

    assert modes == [0o600]


def test_a_relative_path_is_returned_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert write_key_file("app.key") == str(tmp_path / "app.key")


@pytest.mark.parametrize("content", [b"", b"\x07" * 32])
def test_an_existing_file_is_never_overwritten(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "app.key", content)

    with pytest.raises(StorageError, match="already exists") as failure:
        write_key_file(path)

    assert failure.value.hint
    assert path.read_bytes() == content


@posix_only
def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "app.key").symlink_to(tmp_path / "elsewhere.key")

    with pytest.raises(StorageError, match="already exists"):
        write_key_file(tmp_path / "app.key")

    assert not (tmp_path / "elsewhere.key").exists()


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write") as failure:
        write_key_file(tmp_path / "gone" / "app.key")

    assert failure.value.hint


@posix_only
def test_file_and_folder_are_synced_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, int]] = []
    real = os.fsync

    def observing(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append(
            (stat.S_ISDIR(status.st_mode), 0 if stat.S_ISDIR(status.st_mode) else status.st_size)
        )
        real(descriptor)

    monkeypatch.setattr("ksm_storage.providers.key_file.os.fsync", observing)
    write_key_file(tmp_path / "app.key")

    assert synced == [(False, 32), (True, 0)]


def test_a_key_file_that_was_not_written_whole_is_removed(tmp_path: Path) -> None:
    full = subprocess.run(
        [sys.executable, "-c", _WRITE_ON_A_FULL_DISK, str(tmp_path / "app.key")],
        capture_output=True,
        text=True,
    )

    assert full.stdout == "StorageError\n", full.stderr
    assert list(tmp_path.iterdir()) == []


_WRITE_ON_A_FULL_DISK = """
import resource, signal, sys
from ksm_storage.errors import StorageError
from ksm_storage.providers.key_file import write_key_file

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
try:
    write_key_file(sys.argv[1])
except StorageError as exc:
    print(type(exc).__name__)
"""


SERVICE, ITS_GROUP = 12345, 23456


@pytest.fixture
def handed_out() -> Iterator[Path]:
    """Make a key file in a folder that every user can enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # others must reach it
        Path(folder).chmod(0o755)
        yield written(Path(folder) / "app.key")


def read_by_service(path: Path, /, **options: str) -> str:
    """Open a wrapper as another user with one more group; return what it raised."""
    wrapper = opened(path, **options)
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([ITS_GROUP])
            os.setgid(SERVICE)
            os.setuid(SERVICE)
            wrapper.wrap(bytes(32), aad=AAD)
            os.write(sending, b"read")
        except BaseException as exc:  # reported by the parent
            os.write(sending, f"{type(exc).__name__}: {exc}".encode())
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as report:
        said = report.read()
    os.waitpid(child, 0)
    return said


@root_only
@pytest.mark.parametrize(
    ("owner", "group", "mode", "result"),
    [
        (SERVICE, SERVICE, 0o400, "read"),
        (SERVICE, SERVICE, 0o600, "read"),
        (0, ITS_GROUP, 0o440, "read"),  # Kubernetes, with fsGroup
        (0, ITS_GROUP, 0o640, "read"),
        (0, ITS_GROUP, 0o460, "PermissionDeniedError"),
        (SERVICE, SERVICE, 0o440, "PermissionDeniedError"),
        (0, 0, 0o444, "PermissionDeniedError"),  # Compose
        (1000, ITS_GROUP, 0o440, "PermissionDeniedError"),  # a bind mount with the host's uid
        (0, 0, 0o400, "PermissionDeniedError"),
    ],
)
def test_a_file_is_judged_by_who_made_it_and_who_reaches_it(
    handed_out: Path, owner: int, group: int, mode: int, result: str
) -> None:
    os.chown(handed_out, owner, group)
    handed_out.chmod(mode)

    assert read_by_service(handed_out).partition(":")[0] == result


@root_only
def test_a_credential_of_systemd_is_read_which_an_acl_gives_to_the_service(
    handed_out: Path,
) -> None:
    handed_out.chmod(0o400)
    subprocess.run(["setfacl", "-m", f"u:{SERVICE}:r", handed_out], check=True)

    assert stat.S_IMODE(handed_out.stat().st_mode) == 0o440
    assert read_by_service(handed_out) == "read"


@root_only
@pytest.mark.parametrize(
    ("owner", "acl", "result"),
    [
        (SERVICE, "u:0:r", "read"),  # root reads it anyway
        (SERVICE, f"u:{SERVICE}:rw", "read"),
        (SERVICE, f"u:{SERVICE}:r,u:54321:r", "PermissionDeniedError"),
        (SERVICE, "g:54321:r", "PermissionDeniedError"),
        (SERVICE, "u:54321:r,m::-", "read"),  # the mask takes it away
        (0, f"u:{SERVICE}:r,u:54321:r", "read"),
        (0, f"u:{SERVICE}:r,u:54321:rw", "PermissionDeniedError"),
    ],
)
def test_an_access_control_list_is_judged_by_whom_it_lets_in(
    handed_out: Path, owner: int, acl: str, result: str
) -> None:
    os.chown(handed_out, owner, owner)
    subprocess.run(["setfacl", "-m", acl, handed_out], check=True)

    assert read_by_service(handed_out).partition(":")[0] == result


@root_only
@pytest.mark.parametrize(("owner", "mode"), [(0, 0o444), (1000, 0o444), (1000, 0o666)])
def test_a_file_that_the_user_named_is_read_with_any_owner_and_mode_if_asked_for(
    handed_out: Path, owner: int, mode: int
) -> None:
    os.chown(handed_out, owner, owner)
    handed_out.chmod(mode)

    assert "Error" in read_by_service(handed_out)
    assert read_by_service(handed_out, path=str(handed_out), permissions="any") == "read"


def test_an_envelope_cannot_name_a_file_of_any_owner(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs the setting 'path'") as caught:
        opened(written(tmp_path / "app.key"), permissions="any")

    assert caught.value.hint

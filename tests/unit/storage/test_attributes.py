"""What a save keeps of a file: owner, mode, attributes, the link; and what it refuses to write."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.errors import StorageError
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, names_in, new_key, write_plain

ACL = "system.posix_acl_access"


@pytest.fixture
def nobodys_file(shared_folder: Path) -> Path:
    """Seal a file that belongs, with its folder and its key, to a user without rights."""
    work = shared_folder / "work"
    work.mkdir()
    key = new_key(shared_folder / "app.key")
    path = write_plain(work / "config")
    ksm_storage.protect(path, keys=[key])
    forked.give_to_nobody(work, path, shared_folder / "app.key")
    return path


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660, 0o400])
def test_the_mode_stays(mode: int, sealed: Path) -> None:
    storage = ksm_storage.open_storage(sealed)
    sealed.chmod(mode)
    if mode == 0o400 and os.geteuid() != 0:
        pytest.skip("only root can write a file of mode 0400")

    storage.set("hostname", "h")

    assert stat.S_IMODE(sealed.stat().st_mode) == mode


def test_the_mode_stays_whatever_the_umask(sealed: Path) -> None:
    sealed.chmod(0o640)

    def work() -> None:
        os.umask(0o077)
        ksm_storage.open_storage(sealed).set("hostname", "h")

    assert forked.run(work) == 0
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o640


@forked.root_only
def test_the_owner_stays(sealed: Path) -> None:
    os.chown(sealed, 4321, 1234)

    ksm_storage.open_storage(sealed).set("hostname", "h")

    assert (sealed.stat().st_uid, sealed.stat().st_gid) == (4321, 1234)


def test_extended_attributes_stay(sealed: Path) -> None:
    try:
        os.setxattr(sealed, "user.backup", b"nightly")
    except OSError as exc:
        pytest.skip(f"the file system keeps no attributes: {exc.strerror}")

    ksm_storage.open_storage(sealed).set("hostname", "h")

    assert os.getxattr(sealed, "user.backup") == b"nightly"


def test_an_access_control_list_stays(sealed: Path) -> None:
    # Version 2; owner rw, user 65534 r, group -, mask r, others -.
    entries = [(1, 6, -1), (2, 4, forked.NOBODY), (4, 0, -1), (16, 4, -1), (32, 0, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(sealed, ACL, acl)
    except OSError as exc:
        pytest.skip(f"the file system keeps no access control lists: {exc.strerror}")

    ksm_storage.open_storage(sealed).set("hostname", "h")

    assert os.getxattr(sealed, ACL) == acl


def test_the_selinux_label_stays(sealed: Path) -> None:
    label = b"system_u:object_r:etc_t:s0\0"
    try:
        os.setxattr(sealed, "security.selinux", label)
    except OSError as exc:
        pytest.skip(f"the file system keeps no labels: {exc.strerror}")

    ksm_storage.open_storage(sealed).set("hostname", "h")

    assert os.getxattr(sealed, "security.selinux") == label


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
@pytest.mark.parametrize("work", ["save", "create"])
def test_a_mode_that_is_right_need_not_be_set(
    work: str, code: int, sealed: Path, folder: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _mode: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fchmod", refuse)
    path, inode = (sealed, sealed.stat().st_ino) if work == "save" else (folder / "new", None)

    ksm_storage.open_storage(path, keys=[key]).set("hostname", "h")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # Replaced, and not saved in place for want of a mode.
    assert path.stat().st_ino != inode


def test_a_mode_that_cannot_be_kept_is_kept_by_a_save_in_place(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _mode: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    sealed.chmod(0o640)
    inode = sealed.stat().st_ino
    monkeypatch.setattr(os, "fchmod", refuse)

    ksm_storage.open_storage(sealed).set("hostname", "h")

    assert (sealed.stat().st_ino, stat.S_IMODE(sealed.stat().st_mode)) == (inode, 0o640)


@pytest.mark.parametrize(
    ("name", "in_place"),
    [("user.backup", False), ("security.selinux", False), (ACL, True)],
)
def test_an_attribute_that_a_new_file_cannot_have_stops_no_save(
    name: str, in_place: bool, sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_file: int, _name: str, _value: bytes) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    def value(file: str | int, _name: str) -> bytes:
        if isinstance(file, int):
            raise OSError(errno.ENODATA, "No data available")
        return b"x"

    monkeypatch.setattr(os, "listxattr", lambda _file: [name])
    monkeypatch.setattr(os, "getxattr", value)
    monkeypatch.setattr(os, "setxattr", refuse)
    inode = sealed.stat().st_ino

    ksm_storage.open_storage(sealed).set("hostname", "h")

    assert ksm_storage.open_storage(sealed).get("hostname") == "h"
    assert (sealed.stat().st_ino == inode) is in_place


@pytest.mark.parametrize("size", [246, 247, 255])
def test_the_longest_names_can_be_saved(size: int, folder: Path, key: str) -> None:
    path = folder / ("n" * size)

    ksm_storage.open_storage(path, keys=[key]).set("hostname", "h")
    ksm_storage.open_storage(path).set("hostname", "other")

    assert ksm_storage.open_storage(path).get("hostname") == "other"
    assert names_in(folder) == [path.name]


def test_protect_says_that_the_group_can_no_longer_read(
    folder: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_plain(folder / "config")
    path.chmod(0o640)

    assert main(["protect", str(path), "--key", key]) == 0

    assert f"the mode of {path} was 0640 and is now 0600" in capsys.readouterr().err


def test_a_link_stays_a_link_and_its_target_is_saved(
    folder: Path, sealed: Path, tmp_path: Path
) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links/link"
    link.symlink_to(sealed)

    ksm_storage.open_storage(link).set("hostname", "h")

    assert os.readlink(link) == str(sealed)
    assert ksm_storage.open_storage(sealed).get("hostname") == "h"
    assert (names_in(tmp_path / "links"), names_in(folder)) == (["link"], ["client-config.json"])


def test_a_link_that_is_turned_to_another_file_is_followed_there(
    folder: Path, sealed: Path, key: str
) -> None:
    other = folder / "other"
    shutil.copy(sealed, other)
    ksm_storage.open_storage(other).set("hostname", "other")
    link = folder / "link"
    link.symlink_to(sealed)
    storage = ksm_storage.open_storage(link)

    link.unlink()
    link.symlink_to(other)

    assert storage.get("hostname") == "other"


@forked.root_only
def test_a_read_only_file_is_read_and_not_written(nobodys_file: Path) -> None:
    nobodys_file.chmod(0o400)

    def work() -> None:
        storage = ksm_storage.open_storage(nobodys_file)
        with pytest.raises(StorageError, match=r"cannot write .*: Permission denied") as caught:
            storage.set("hostname", "h")

        assert caught.value.hint
        assert storage.read_storage() == CONFIG

    assert forked.run_as_nobody(work) == 0
    assert _opened_by_root(nobodys_file).read_storage() == CONFIG


@forked.root_only
def test_the_effective_user_counts_for_what_is_read_only(nobodys_file: Path) -> None:
    nobodys_file.chmod(0o400)

    def work() -> None:
        os.environ["KSM_STORAGE_SETTINGS"] = os.devnull
        os.setegid(forked.NOBODY)
        os.seteuid(forked.NOBODY)
        with pytest.raises(StorageError, match=r"cannot write .*: Permission denied"):
            ksm_storage.open_storage(nobodys_file).set("hostname", "h")

    assert forked.run(work) == 0


@forked.root_only
def test_somebody_elses_readable_file_is_read_and_not_written(nobodys_file: Path) -> None:
    os.chown(nobodys_file, 0, 0)
    nobodys_file.chmod(0o644)

    def work() -> None:
        storage = ksm_storage.open_storage(nobodys_file)
        # The folder is ours, so that a rename would do it.
        with pytest.raises(StorageError, match=r"cannot write .*: Permission denied"):
            storage.delete_all()

        assert storage.read_storage() == CONFIG

    assert forked.run_as_nobody(work) == 0
    assert nobodys_file.stat().st_uid == 0


@forked.root_only
def test_an_unreadable_file_is_told_apart_from_a_missing_one(nobodys_file: Path) -> None:
    os.chown(nobodys_file, 0, 0)
    before = nobodys_file.read_bytes()

    def work() -> None:
        with pytest.raises(StorageError, match=r"cannot read .*: Permission denied"):
            ksm_storage.open_storage(nobodys_file, keys=["key-file:///any.key"])

    assert forked.run_as_nobody(work) == 0
    assert nobodys_file.read_bytes() == before


@forked.root_only
def test_a_file_in_a_folder_of_others_is_saved_in_place(nobodys_file: Path) -> None:
    os.chown(nobodys_file.parent, 0, 0)
    inode = nobodys_file.stat().st_ino

    def work() -> None:
        storage = ksm_storage.open_storage(nobodys_file)
        storage.set("hostname", "h")
        storage.set("url", "x" * 5000)
        storage.delete("url")

    assert forked.run_as_nobody(work) == 0
    assert nobodys_file.stat().st_ino == inode
    assert b"\0" not in nobodys_file.read_bytes()
    assert _opened_by_root(nobodys_file).get("hostname") == "h"
    assert names_in(nobodys_file.parent) == ["config"]


@forked.root_only
def test_a_file_of_another_owner_that_may_be_written_keeps_its_owner(nobodys_file: Path) -> None:
    os.chown(nobodys_file, 4321, forked.NOBODY)
    nobodys_file.chmod(0o660)

    def work() -> None:
        ksm_storage.open_storage(nobodys_file).set("hostname", "h")

    assert forked.run_as_nobody(work) == 0
    assert (nobodys_file.stat().st_uid, nobodys_file.stat().st_gid) == (4321, forked.NOBODY)
    assert names_in(nobodys_file.parent) == ["config"]


@forked.root_only
def test_a_file_in_a_sticky_folder_that_others_own_is_saved(nobodys_file: Path) -> None:
    os.chown(nobodys_file.parent, 0, 0)
    nobodys_file.parent.chmod(0o1777)
    # Somebody put a file where ours would be, and we may not remove it.
    (nobodys_file.parent / ".config.ksm-tmp").write_text("in the way")

    def work() -> None:
        ksm_storage.open_storage(nobodys_file).set("hostname", "h")

    assert forked.run_as_nobody(work) == 0
    assert _opened_by_root(nobodys_file).get("hostname") == "h"
    assert names_in(nobodys_file.parent) == [".config.ksm-tmp", "config"]


def test_a_read_only_file_system_is_read_and_not_written(sealed: Path, folder: Path) -> None:
    def work() -> None:
        storage = ksm_storage.open_storage(sealed)
        with pytest.raises(StorageError, match=r"cannot write .*: Read-only file system"):
            storage.set("hostname", "h")

        assert storage.read_storage() == CONFIG

    bound = ["-o", "bind,ro", str(folder), str(folder)]

    assert forked.run_with_mount(bound, work) == 0


def test_a_file_that_is_a_mount_point_is_saved_in_place(sealed: Path, tmp_path: Path) -> None:
    point = tmp_path / "mounted"
    point.touch()

    def work() -> None:
        with pytest.raises(OSError, match="busy") as caught:
            os.replace(write_plain(tmp_path / "any"), point)
        assert caught.value.errno == errno.EBUSY

        storage = ksm_storage.open_storage(point)
        for number in range(20):
            storage.set("url", "x" * (4000 * (number % 3)))
        storage.set("hostname", "h")

        assert ksm_storage.open_storage(point).get("hostname") == "h"

    assert forked.run_with_mount(["--bind", str(sealed), str(point)], work) == 0
    assert ksm_storage.open_storage(sealed).get("hostname") == "h"
    assert [name for name in names_in(tmp_path) if "tmp" in name] == []


def test_a_plain_file_that_is_a_mount_point_is_sealed_in_place(
    folder: Path, key: str, tmp_path: Path
) -> None:
    plain = write_plain(folder / "config")
    plain.chmod(0o644)
    point = tmp_path / "mounted"
    point.touch()

    def work() -> None:
        ksm_storage.protect(point, keys=[key])

    assert forked.run_with_mount(["--bind", str(plain), str(point)], work) == 0
    assert ksm_storage.open_storage(plain).read_storage() == CONFIG
    assert b"keepersecurity" not in plain.read_bytes()
    assert stat.S_IMODE(plain.stat().st_mode) == 0o600


def test_two_mounts_of_one_file_undo_nothing_of_each_other(sealed: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.touch()
    two.touch()

    def work() -> None:
        # The first mount is made already; both are mount points and saved in place.
        assert os.system(f"mount --bind '{one}' '{two}'") == 0
        other = forked.start(lambda: _set_many(two, "two"))
        _set_many(one, "one")
        assert forked.status_of(other) == 0

    assert forked.run_with_mount(["--bind", str(sealed), str(one)], work) == 0
    config = ksm_storage.open_storage(sealed).read_storage()
    assert [name for i in range(20) for name in (f"one{i}", f"two{i}") if name not in config] == []


def test_a_mounted_file_that_was_replaced_at_its_origin_is_not_written(
    sealed: Path, tmp_path: Path
) -> None:
    point = tmp_path / "mounted"
    point.touch()

    def work() -> None:
        storage = ksm_storage.open_storage(point)
        # A rename on the host: the mount keeps the file that nobody else sees any more.
        ksm_storage.open_storage(sealed).set("url", "set on the host")
        with pytest.raises(StorageError, match="was replaced on the host"):
            storage.set("hostname", "h")

        assert storage.read_storage() == CONFIG

    assert forked.run_with_mount(["--bind", str(sealed), str(point)], work) == 0


def _opened_by_root(path: Path) -> EncryptedStorage:
    os.chown(path.parent.parent / "app.key", 0, 0)
    return ksm_storage.open_storage(path)


def _set_many(path: Path, prefix: str) -> None:
    storage = ksm_storage.open_storage(path)
    for number in range(20):
        storage.set(f"{prefix}{number}", "x")

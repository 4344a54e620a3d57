"""Each cell of the matrix in ``docs/platforms.md``: files with the owner and mode of a platform.

A child process makes them in a mount namespace of its own and uses them as another user.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.contract.key_wrapper import Aad, KeyUri
from ksm_storage.contract.settings import Option
from ksm_storage.errors import KsmStorageError, PermissionDeniedError, StorageError
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.plugin import PinSource, pin_options
from ksm_storage.providers import key_file

PAGE = Path(__file__).parents[2] / "docs" / "platforms.md"
SERVICE, ITS_GROUP, STRANGER, HOST, NOBODY = 12345, 23456, 34567, 1000, 65534
CONFIG = '{"clientId": "CID", "appKey": "APP", "hostname": "keepersecurity.eu"}'
COLUMNS = ("key file", "PIN file", "open", "save", "protect", "import")
NEW_NAMESPACE, READ_ONLY, BIND, REMOUNT, PRIVATE = 0x20000, 1, 4096, 32, (1 << 18) | 16384

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces are Linux's"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users"),
]


class Handed(NamedTuple):
    """Say how a platform gives a file: its owner, group, mode, access list and place."""

    owner: int
    group: int
    mode: int
    acl: str = ""
    place: str = "folder"


OWN = Handed(SERVICE, SERVICE, 0o600)
BY_ACL = Handed(0, 0, 0o400, f"u:{SERVICE}:r", "read-only")
HANDED = {
    "own file, 0600": OWN,
    "own file in a tmpfs": OWN._replace(place="tmpfs"),
    "own file under a read-only root": OWN._replace(place="read-only"),
    "own file, mounted alone (bind mount)": OWN._replace(place="mounted alone"),
    "own file with an ACL for another user": OWN._replace(acl=f"u:{STRANGER}:r"),
    "systemd `LoadCredential=`, given by an ACL (root, 0440)": BY_ACL,
    "systemd `LoadCredential=` without ACLs (the service's user, 0400)": Handed(
        SERVICE, SERVICE, 0o400, place="read-only"
    ),
    "systemd `LoadCredential=` with `DynamicUser=` (root, 0440, an ACL for the dynamic user)": (
        BY_ACL
    ),
    "Kubernetes Secret with `fsGroup` (root and the group, 0440)": Handed(
        0, ITS_GROUP, 0o440, place="projected"
    ),
    "Kubernetes projected volume with `fsGroup` (root and the group, 0440)": Handed(
        0, ITS_GROUP, 0o440, place="projected"
    ),
    "Kubernetes Secret without `fsGroup` (root, 0644)": Handed(0, 0, 0o644, place="projected"),
    "Compose or Swarm secret (root, 0444)": Handed(0, 0, 0o444, place="read-only"),
    "bind mount, host's user id unknown here (0644)": Handed(
        HOST, HOST, 0o644, place="mounted alone"
    ),
    "bind mount, host's user id unknown here (0600)": Handed(
        HOST, HOST, 0o600, place="mounted alone"
    ),
    "rootless container, unmapped owner (nobody, 0444)": Handed(
        NOBODY, NOBODY, 0o444, place="read-only"
    ),
}


def cells() -> Iterator[tuple[str, str, str]]:
    """Yield the row, the column and the word of each cell of the page's first table."""
    rows = re.findall(r"^\| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    head, _, *rest = (row.split(" | ") for row in rows)
    assert tuple(head[1:]) == COLUMNS
    for row in rest:
        if len(row) == len(head):
            yield from (
                (row[0], column, word) for column, word in zip(head[1:], row[1:], strict=True)
            )


def test_the_page_and_this_list_have_the_same_rows() -> None:
    assert list(dict.fromkeys(row for row, _, _ in cells())) == list(HANDED)


@pytest.mark.parametrize(("row", "column", "word"), list(cells()))
def test_a_cell_is_what_the_service_meets(row: str, column: str, word: str) -> None:
    assert met_by_service(HANDED[row])[column] == word


@pytest.mark.parametrize("row", HANDED)
@pytest.mark.parametrize("column", ["key file", "PIN file"])
def test_advice_can_be_followed(row: str, column: str) -> None:
    advice = met_by_service(HANDED[row])[f"{column} advice"]

    handed = HANDED[row]
    # Only the owner may change a mode, and nobody on a read-only file system.
    may_change = handed.owner == SERVICE and handed.place != "read-only"
    assert ("chmod" in advice) == (may_change and advice != "")
    assert ("any" in advice) == (met_by_service(handed)[column] == "option")


@functools.cache
def met_by_service(handed: Handed) -> Mapping[str, str]:
    """Return what another user's process meets with files that are handed out in this way."""
    load_what_is_loaded_late()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # others must reach it
        receiving, sending = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                report = json.dumps(met(handed, Path(folder)))
            except BaseException as exc:  # reported by the parent
                report = json.dumps({"failure": repr(exc)})
            os.write(sending, report.encode())
            os._exit(0)
        os.close(sending)
        with os.fdopen(receiving) as pipe:
            outcome: dict[str, str] = json.loads(pipe.read())
        os.waitpid(child, 0)
    assert "failure" not in outcome, outcome
    return outcome


def load_what_is_loaded_late() -> None:
    # The service may not be able to read the folder in which this package lies.
    from ksm_storage.storage import unsaved  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        path, key = Path(folder, "c.json"), Path(folder, "kek")
        uri = key_file.key_uri_of(key_file.write_key_file(key))
        path.write_text(CONFIG)
        ksm_storage.protect(path, [uri])
        ksm_storage.open_storage(path).set("hostname", "x")
        for name, content in contents_of(Path(folder), uri).items():
            Path(folder, name).write_bytes(content)
        for private, anyone in readers(Path(folder)).values():
            assert (worked(private), worked(anyone)) == ("no", "yes")
        Path(folder, "plain.json").write_text(CONFIG)
        imported(Path(folder, "plain.json"), Path(folder, "new.json"), uri)


def met(handed: Handed, folder: Path) -> dict[str, str]:
    """Make the files, become the service and try each column."""
    folder.chmod(0o755)
    key = Path(key_file.write_key_file(folder / "kek"))
    uri = key_file.key_uri_of(key)
    contents = contents_of(folder, uri)
    place = folder / "place"
    hand_out(handed, contents, place)
    (folder / "out").mkdir()
    for path in (key, folder / "out"):
        os.chown(path, SERVICE, SERVICE)
    os.setgroups([ITS_GROUP])
    os.setgid(SERVICE)
    os.setuid(SERVICE)
    for name in [each for each in os.environ if each.startswith("XDG_")]:
        del os.environ[name]
    os.environ["HOME"] = str(folder / "out")
    outcome: dict[str, str] = {}
    for column, (private, anyone) in readers(place).items():
        outcome[column], outcome[f"{column} advice"] = secret_is_read(private, anyone)
    outcome["open"] = worked(lambda: ksm_storage.open_storage(place / "open").get("hostname"))
    outcome["save"] = changed(place / "save", save)
    outcome["protect"] = changed(place / "protect", lambda path: ksm_storage.protect(path, [uri]))
    new = folder / "out" / "new.json"
    outcome["import"] = "yes" if imported(place / "import", new, uri) == 0 else "no"
    return outcome


def contents_of(folder: Path, uri: str) -> dict[str, bytes]:
    sealed = folder / "sealed"
    sealed.write_text(CONFIG)
    ksm_storage.protect(sealed, [uri])
    plain = CONFIG.encode()
    envelope = sealed.read_bytes()
    return {
        "key": bytes(32),
        "pin": b"1234\n",
        "open": envelope,
        "save": envelope,
        "protect": plain,
        "import": plain,
    }


def hand_out(handed: Handed, contents: Mapping[str, bytes], place: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(source: str, target: Path, kind: str | None, flags: int) -> None:
        name = None if kind is None else kind.encode()
        if libc.mount(source.encode(), os.fsencode(target), name, flags, None):
            raise OSError(ctypes.get_errno(), "mount")

    if libc.unshare(NEW_NAMESPACE):
        raise OSError(ctypes.get_errno(), "unshare")
    mount("none", Path("/"), None, PRIVATE)
    place.mkdir()
    inside = place
    if handed.place in ("tmpfs", "read-only", "projected"):
        mount("tmpfs", place, "tmpfs", 0)
        place.chmod(0o755)
    if handed.place == "projected":
        inside = place / "..2026_11_30_01_02_03.456"
        inside.mkdir(mode=0o755)
        (place / "..data").symlink_to(inside.name)
    if handed.place == "mounted alone":
        inside = place.with_name("of-the-host")
        inside.mkdir(mode=0o755)
    for name, content in contents.items():
        path = inside / name
        path.write_bytes(content)
        os.chown(path, handed.owner, handed.group)
        path.chmod(handed.mode)
        if handed.acl:
            subprocess.run(["setfacl", "-m", handed.acl, path], check=True)
        if handed.place == "projected":
            (place / name).symlink_to(f"..data/{name}")
        if handed.place == "mounted alone":
            (place / name).touch()
            mount(str(path), place / name, None, BIND)
    if handed.owner == SERVICE and handed.place != "mounted alone":
        os.chown(place, SERVICE, SERVICE)
    if handed.acl == BY_ACL.acl:
        place.chmod(0o500)
        subprocess.run(["setfacl", "-m", f"u:{SERVICE}:rx", place], check=True)
        assert stat.S_IMODE((place / "key").stat().st_mode) == 0o440
    if handed.place in ("read-only", "projected"):
        mount("tmpfs", place, None, REMOUNT | READ_ONLY)


def readers(place: Path) -> Mapping[str, tuple[Callable[[], object], Callable[[], object]]]:
    key, pin = str(place / "key"), str(place / "pin")
    return {
        "key file": (
            lambda: wrapped_under(key, {}),
            lambda: wrapped_under(key, {"path": key, "permissions": "any"}),
        ),
        "PIN file": (
            lambda: pin_of({"pin_file": pin}),
            lambda: pin_of({"pin_file": pin, "pin_file_permissions": "any"}),
        ),
    }


def wrapped_under(path: str, options: Mapping[str, object]) -> object:
    uri = KeyUri.parse(key_file.key_uri_of(path))
    settings = gather_settings(uri, key_file.key_wrapper_options(), {"key-file": options})
    return key_file.open_key_wrapper(uri.key_id, settings).wrap(bytes(32), aad=Aad({"a": "b"}))


def pin_of(options: Mapping[str, object]) -> object:
    declared: list[Option] = pin_options("token")
    settings = gather_settings(KeyUri.parse("pkcs11://t/k"), declared, {"pkcs11": options})
    return PinSource.from_settings(settings).read("token")


def secret_is_read(private: Callable[[], object], anyone: Callable[[], object]) -> tuple[str, str]:
    try:
        private()
    except PermissionDeniedError as exc:
        return ("option" if worked(anyone) == "yes" else "no"), str(exc.hint)
    return "yes", ""


def worked(read: Callable[[], object]) -> str:
    try:
        read()
    except KsmStorageError:
        return "no"
    return "yes"


def save(path: Path) -> None:
    ksm_storage.open_storage(path).set("hostname", "keepersecurity.com")


def changed(path: Path, change: Callable[[Path], object]) -> str:
    before = os.stat(path).st_ino
    try:
        change(path)
    except StorageError as exc:
        return "no" if exc.hint else f"no, without advice: {exc}"
    assert ksm_storage.open_storage(path).get("clientId") == "CID"
    return "in place" if os.stat(path).st_ino == before else "yes"


def imported(plain: Path, new: Path, uri: str) -> int:
    with open(os.devnull, "w") as nowhere:
        out, err = os.dup(1), os.dup(2)
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            return main(["profile", "import", str(new), str(plain), "--key", uri])
        finally:
            os.dup2(out, 1)
            os.dup2(err, 2)

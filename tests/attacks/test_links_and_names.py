"""Links, names of files and a kill: a save touches the file that was meant, and only that."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

import ksm_storage
from ksm_storage.cli.secret import _safe_name
from ksm_storage.config.document import Document
from ksm_storage.engine import KeeperFile
from ksm_storage.errors import KsmStorageError, SettingsError, StorageError
from ksm_storage.storage.open_policy import OpenPolicy
from ksm_storage.storage.profiles import change_document, create_document, with_new_profile
from tests.attacks.claims import the_attacker
from tests.cli.command import COMMAND, run
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, names_in, write_plain

# Clears a screen, sets a title, does so as one byte, goes to the line's start and to another
# line, and turns the direction of what follows.
ESCAPES = "\x1b[2J\x1b]0;t\x07\x9b2J\r\n\u202e"
PRIVATE_KEY = base64.b64encode(b"\x30" + bytes(150)).decode()

if sys.platform == "win32":
    pytest.skip("the links of POSIX", allow_module_level=True)


def temporary_of(path: Path) -> Path:
    """Return the name of the temporary file that a save tries first."""
    return path.with_name(f".{path.name}.ksm-tmp")


@the_attacker("makes the sealed file a symbolic or hard link")
def test_a_save_through_a_symbolic_link_replaces_its_target(sealed: Path, folder: Path) -> None:
    link = folder / "link"
    link.symlink_to(sealed)

    ksm_storage.open_storage(link).set("hostname", "h")

    assert link.is_symlink()
    assert not sealed.is_symlink()
    assert ksm_storage.open_storage(sealed).get("hostname") == "h"


@the_attacker("makes the sealed file a symbolic or hard link")
def test_a_link_that_is_turned_elsewhere_writes_over_no_other_file(
    sealed: Path, folder: Path
) -> None:
    link, victim = folder / "link", folder / "victim"
    victim.write_text("precious")
    link.symlink_to(sealed)
    storage = ksm_storage.open_storage(link)
    link.unlink()
    link.symlink_to(victim)

    with pytest.raises(StorageError, match="no longer an envelope"):
        storage.set("hostname", "h")

    assert victim.read_text() == "precious"


@the_attacker("makes the sealed file a symbolic or hard link")
@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_to_nothing_and_a_circle_are_errors(target: str, folder: Path, key: str) -> None:
    (folder / "link").symlink_to(target)

    with pytest.raises(StorageError):
        ksm_storage.open_storage(folder / "link", keys=[key])

    assert names_in(folder) == ["link"]


@the_attacker("makes the sealed file a symbolic or hard link")
@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_an_error_and_no_wait(kind: str, folder: Path, key: str) -> None:
    path = folder / "config"
    os.mkfifo(path) if kind == "fifo" else path.mkdir()

    with pytest.raises(StorageError):
        ksm_storage.open_storage(path, keys=[key])


@the_attacker("makes the sealed file a symbolic or hard link")
def test_a_hard_link_would_keep_the_plain_text_and_is_refused(folder: Path, key: str) -> None:
    path = write_plain(folder / "config")
    os.link(path, folder / "kept")

    with pytest.raises(StorageError, match="another hard link"):
        ksm_storage.protect(path, keys=[key])

    assert json.loads(path.read_text()) == CONFIG


@the_attacker("makes the sealed file a symbolic or hard link")
def test_a_hard_link_to_a_sealed_file_keeps_the_older_sealed_version(
    sealed: Path, folder: Path
) -> None:
    os.link(sealed, folder / "kept")
    before = sealed.read_bytes()

    ksm_storage.open_storage(sealed).set("hostname", "newer")

    assert (folder / "kept").read_bytes() == before
    assert ksm_storage.open_storage(sealed).get("hostname") == "newer"


@the_attacker("makes the temporary file's name a link to something else")
@pytest.mark.parametrize("kind", ["symbolic", "hard", "to nothing"])
def test_a_link_at_the_temporary_name_is_never_followed(
    kind: str, sealed: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if kind == "hard":
        os.link(victim, temporary_of(sealed))
    else:
        temporary_of(sealed).symlink_to(victim if kind == "symbolic" else tmp_path / "made")

    ksm_storage.open_storage(sealed).set("hostname", "newer")

    assert victim.read_text() == "precious"
    assert names_in(tmp_path) == ["folder", "keys", "victim"]
    assert ksm_storage.open_storage(sealed).get("hostname") == "newer"


@the_attacker("makes the temporary file's name a link to something else")
def test_a_folder_at_the_temporary_name_stops_nothing(sealed: Path) -> None:
    temporary_of(sealed).mkdir()

    ksm_storage.open_storage(sealed).set("hostname", "newer")

    assert ksm_storage.open_storage(sealed).get("hostname") == "newer"


@the_attacker("races for the temporary file's name")
def test_who_makes_the_temporary_file_first_again_and_again_gets_and_stops_nothing(
    sealed: Path, tmp_path: Path
) -> None:
    victim, name = tmp_path / "victim", temporary_of(sealed)
    victim.write_text("precious")
    done = threading.Event()

    def race() -> None:
        while not done.is_set():
            try:
                os.symlink(victim, name)
            except FileExistsError:
                continue

    attacker = threading.Thread(target=race)
    attacker.start()
    try:
        storage = ksm_storage.open_storage(sealed)
        for number in range(30):
            storage.set("hostname", str(number))
    finally:
        done.set()
        attacker.join()

    assert victim.read_text() == "precious"
    assert ksm_storage.open_storage(sealed).get("hostname") == "29"
    assert not sealed.is_symlink()


@the_attacker("races for the temporary file's name")
def test_the_temporary_file_is_for_its_owner_alone_from_its_first_moment(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chmod(sealed, 0o644)
    modes, opened = [], os.open

    def watched(path: str, flags: int, mode: int = 0o777, **named: int) -> int:
        descriptor = opened(path, flags, mode, **named)
        if str(path).endswith(".ksm-tmp"):
            modes.append(os.fstat(descriptor).st_mode & 0o777)
        return descriptor

    monkeypatch.setattr(os, "open", watched)

    before = os.umask(0)
    try:
        ksm_storage.open_storage(sealed).set("hostname", "newer")
    finally:
        os.umask(before)

    assert modes == [0o600]


@the_attacker("kills the process while it saves")
@pytest.mark.parametrize("event", ["open", "os.rename"])
def test_a_kill_leaves_the_old_file_or_the_new_one(event: str, sealed: Path, folder: Path) -> None:
    def save(at: int) -> None:
        seen = [0]

        def hook(name: str, _arguments: object) -> None:
            seen[0] += name == event
            if seen[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)

        storage = ksm_storage.open_storage(sealed)
        sys.addaudithook(hook)
        storage.set("hostname", "newer")

    killed = 0
    for at in range(1, 30):
        status = forked.status_of(forked.start(partial(save, at)))
        value = ksm_storage.open_storage(sealed).get("hostname")
        assert value in (CONFIG["hostname"], "newer")
        if status == 0:
            break
        killed += 1

    assert killed
    ksm_storage.open_storage(sealed).set("hostname", "again")
    assert names_in(folder) == [sealed.name]


@the_attacker("puts a path into the name of a provider, profile or attached file")
@pytest.mark.parametrize(
    "name", ["../up", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "a\0b", "_config"]
)
def test_a_path_in_a_profiles_name_is_refused(name: str, folder: Path, key: str) -> None:
    trust = OpenPolicy.from_args([key], None, None)
    create_document(folder / "config", trust, Document({"one": dict(CONFIG)}))

    with pytest.raises(SettingsError):
        change_document(
            folder / "config", trust, lambda document: with_new_profile(document, name, CONFIG)
        )

    assert names_in(folder) == ["config"]


@the_attacker("puts a path into the name of a provider, profile or attached file")
@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "..\\..\\back", "..", "-", "a/", "a\0b"])
@pytest.mark.parametrize("uid", ["uid", "../uid", ".."])
@pytest.mark.parametrize("asked_by", ["name", "uid"])
def test_the_name_of_an_attached_file_leads_nowhere_else(
    name: str, uid: str, asked_by: str
) -> None:
    asked = {"name": name, "uid": uid}[asked_by]
    try:
        target = _safe_name(cast("KeeperFile", SimpleNamespace(name=name, uid=uid)), asked=asked)
    except KsmStorageError:
        return

    assert Path(target).name == target
    assert target not in ("", ".", "..", "-")


@the_attacker("puts terminal escapes into names of files, records or profiles")
@pytest.mark.parametrize(
    "command", [["inspect"], ["check"], ["rekey", "--dry-run"], ["set"], ["scan"]], ids=" ".join
)
def test_an_escape_in_the_name_of_a_file_steers_no_terminal(
    command: list[str], sealed: Path, folder: Path
) -> None:
    pexpect = pytest.importorskip("pexpect")
    path = folder / f"a{ESCAPES}b"
    sealed.rename(path)
    write_plain(folder / f"c{ESCAPES}d", {**CONFIG, "privateKey": PRIVATE_KEY})
    name, *options = command
    arguments = [str(folder if name == "scan" else path), *(["url"] if name == "set" else [])]

    child = pexpect.spawn(COMMAND, [name, *arguments, *options], timeout=40, dimensions=(24, 1000))
    if name == "set":
        child.expect_exact("url: ")
        child.sendline("u")
    shown = child.read().decode("utf-8").replace("\r\n", "\n")

    assert "\\x1b[2J" in shown
    assert shown.replace("\n", "").isprintable()
    assert "\n\u202eb" not in shown


@the_attacker("puts terminal escapes into names of files, records or profiles")
@pytest.mark.parametrize("as_json", [False, True])
def test_an_escape_in_the_names_of_many_files_steers_no_terminal(
    as_json: bool, sealed: Path, folder: Path
) -> None:
    path = folder / f"a{ESCAPES}b"
    sealed.rename(path)

    done = run("check", str(path), f"{path}.missing", *(["--json"] if as_json else []))

    assert done.returncode == StorageError.exit_code
    assert (done.stdout + done.stderr).replace("\n", "").isprintable()


@the_attacker("puts terminal escapes into names of files, records or profiles")
def test_an_escape_in_an_audit_file_steers_no_terminal(
    sealed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "a\x1b[2J\n\u202eb"
    sealed.rename(path)
    audit = folder / "audit\x1b[2J.jsonl"
    monkeypatch.setenv("KSM_STORAGE_AUDIT_FILE", str(audit))
    ksm_storage.open_storage(path)

    done = [run("audit", what, str(audit)) for what in ("show", "verify")]

    assert [each.returncode for each in done] == [0, 0]
    assert all(len(each.stdout.splitlines()) == 1 for each in done)
    assert all(each.stdout.replace("\n", "").isprintable() for each in done)


@the_attacker("puts a link in the place of a record in the memory")
@pytest.mark.parametrize("target", ["missing", "there"])
def test_nothing_is_written_through_a_link_in_the_memory(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    memory, there = tmp_path / "memory", tmp_path / "there"
    there.write_text("of another program")
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(memory))
    ksm_storage.open_storage(sealed)
    [record] = memory.iterdir()
    record.unlink()
    record.symlink_to(tmp_path / target)

    with pytest.raises(StorageError):
        ksm_storage.open_storage(sealed)

    assert there.read_text() == "of another program"
    assert not (tmp_path / "missing").exists()

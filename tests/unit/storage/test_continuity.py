"""A file takes the place of the last one only if it continues its line: docs/continuity.md."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.config.document import Document, write_payload
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.codec import decode, encode
from ksm_storage.envelope.lineage import Record
from ksm_storage.envelope.model import Envelope
from ksm_storage.envelope.opening import open_envelope
from ksm_storage.envelope.sealing import seal, seal_again, wrap_new_dek
from ksm_storage.errors import (
    ContinuityError,
    DecryptionError,
    EnvelopeError,
    KsmStorageError,
    StorageError,
)
from ksm_storage.files.lock import locked
from ksm_storage.files.reading import FileContent
from ksm_storage.keys.kek import Kek
from ksm_storage.storage.continuity import Memory
from ksm_storage.storage.open_policy import OpenPolicy
from ksm_storage.storage.profiles import (
    change_document,
    create_document,
    read_document,
    with_new_profile,
)
from ksm_storage.storage.snapshot import with_envelope
from tests.cli.command import run
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, new_key, settle, write_plain
from tests.unit.storage.planted import Counted

Opener = Callable[[Path], object]

# All that opens a sealed file.
OPENERS: dict[str, Opener] = {
    "open_storage": ksm_storage.open_storage,
    "rewrap": lambda path: ksm_storage.rewrap(path, add=[new_key(path.parent / "other.key")]),
    "rekey": ksm_storage.rekey,
    "read_document": lambda path: read_document(path, OpenPolicy.from_args(None, None, None)),
    "change_document": lambda path: change_document(
        path, OpenPolicy.from_args(None, None, None), lambda d: d
    ),
}


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a folder in which seen revisions are remembered."""
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "state/seen"))
    return tmp_path / "state/seen"


def saved_twice(sealed: Path) -> bytes:
    """Save a newer revision, and return the content of the older one."""
    older = sealed.read_bytes()
    ksm_storage.open_storage(sealed).set("hostname", "newer")
    return older


def record_in(seen: Path, path: Path | str) -> Record | None:
    """Return what is recorded of a file."""
    return Memory(str(seen)).read(str(path))


def revisions_in(seen: Path) -> list[int]:
    return [json.loads(file.read_text())["revision"] for file in seen.iterdir()]


def revision_in(path: Path) -> int:
    return decode(path.read_bytes()).header.revision


@pytest.mark.parametrize("use", ["get", "set"])
def test_an_older_revision_is_refused_while_a_newer_one_is_in_memory(
    use: str, sealed: Path
) -> None:
    storage = ksm_storage.open_storage(sealed)
    older = sealed.read_bytes()
    storage.set("hostname", "newer")
    newer = sealed.read_bytes()
    sealed.write_bytes(older)

    with pytest.raises(
        ContinuityError, match="older: revision 1, and revision 2 is recorded"
    ) as caught:
        storage.set("url", "u") if use == "set" else storage.get("hostname")
    left = sealed.read_bytes()
    sealed.write_bytes(newer)

    assert left == older
    assert str(sealed) in caught.value.message
    assert (caught.value.hint or "").endswith("on purpose: restart this program")
    assert storage.get("hostname") == "newer"


def test_an_older_revision_is_refused_before_any_call(folder: Path, counted: Counted) -> None:
    path = write_plain(folder / "config")
    ksm_storage.protect(path, keys=["counted://one"])
    storage = ksm_storage.open_storage(path)
    older = path.read_bytes()
    ksm_storage.rekey(path, add=["counted://two"])
    storage.get("hostname")
    path.write_bytes(older)
    counted.calls.clear()

    with pytest.raises(ContinuityError):
        storage.get("hostname")

    assert counted.calls == []


def test_a_program_that_starts_anew_takes_what_was_restored(sealed: Path) -> None:
    sealed.write_bytes(saved_twice(sealed))

    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG


def test_another_envelope_does_not_swap_the_configuration_of_a_running_process(
    sealed: Path, key: str
) -> None:
    storage = ksm_storage.open_storage(sealed)
    storage.set("hostname", "newer")
    write_plain(sealed, {"hostname": "another"})
    ksm_storage.protect(sealed, keys=[key])

    with pytest.raises(ContinuityError, match="another envelope"):
        storage.get("hostname")


@pytest.mark.parametrize("action", ["off", "warn"])
def test_no_setting_lets_a_running_process_take_an_older_revision(
    action: str, sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_CONTINUITY", action)
    storage = ksm_storage.open_storage(sealed)
    older = sealed.read_bytes()
    storage.set("hostname", "newer")
    sealed.write_bytes(older)

    with pytest.raises(ContinuityError):
        storage.get("hostname")


@pytest.mark.parametrize(("action", "warnings"), [("off", 0), ("warn", 1)])
def test_a_program_that_starts_takes_an_older_revision_where_the_user_says_so(
    action: str,
    warnings: int,
    sealed: Path,
    seen: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sealed.write_bytes(saved_twice(sealed))
    monkeypatch.setenv("KSM_STORAGE_CONTINUITY", action)

    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG
    assert len(caplog.records) == warnings
    assert all("older: revision 1" in record.getMessage() for record in caplog.records)


def forged(sealed: Path, key: str, *, old: tuple[Envelope, bytes], **changes: Any) -> bytes:
    """Return an envelope that somebody made who may encrypt under the key, and kept an old DEK."""
    envelope, dek = old
    header = envelope.header._replace(**changes)
    payload = write_payload(Document.single({"hostname": "attacker.example"}))
    return encode(seal_again(envelope._replace(header=header), payload, dek=dek))


def test_who_kept_the_dek_from_before_a_rekey_cannot_make_a_file_of_it(
    sealed: Path, key: str, seen: Path
) -> None:
    old = decode(sealed.read_bytes())
    old_dek = open_envelope(old).dek
    storage = ksm_storage.open_storage(sealed)
    ksm_storage.rekey(sealed)
    assert storage.get("hostname") == CONFIG["hostname"]

    for changes in ({}, {"revision": 50}, {"generation": 2, "lineage": bytes(48), "revision": 50}):
        sealed.write_bytes(forged(sealed, key, old=(old, old_dek), **changes))
        for use in (lambda: storage.get("hostname"), lambda: ksm_storage.open_storage(sealed)):
            with pytest.raises((ContinuityError, DecryptionError)):
                use()


def test_a_file_made_with_the_key_alone_neither_swaps_nor_poisons(
    sealed: Path, key: str, seen: Path
) -> None:
    true = sealed.read_bytes()
    storage = ksm_storage.open_storage(sealed)
    header = decode(true).header
    with Kek.open(KeyUri.parse(key)) as kek:
        new = wrap_new_dek([kek])
    for changes in (
        {"revision": 10**18 - 2},
        {"envelope_id": header.envelope_id},
        {"envelope_id": header.envelope_id, "revision": 2},
    ):
        made = seal(write_payload(Document.single({"hostname": "attacker.example"})), new)
        sealed.write_bytes(forged(sealed, key, old=(made, new.dek), **changes))
        with pytest.raises((ContinuityError, DecryptionError)):
            storage.get("hostname")
        with pytest.raises((ContinuityError, DecryptionError)):
            ksm_storage.open_storage(sealed)
    sealed.write_bytes(true)

    assert storage.get("hostname") == CONFIG["hostname"]
    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG


def test_the_file_of_an_old_device_does_not_come_back(sealed: Path, key: str, seen: Path) -> None:
    old = sealed.read_bytes()
    ksm_storage.open_storage(sealed)
    write_plain(sealed, {"hostname": "new device"})
    done = ksm_storage.protect(sealed, keys=[key])
    OpenPolicy.from_args(None, None, None).continuity(done.path).replace(
        done.envelope, done.dek, done.path
    )
    assert ksm_storage.open_storage(sealed).get("hostname") == "new device"

    sealed.write_bytes(old)

    with pytest.raises(ContinuityError, match="another envelope"):
        ksm_storage.open_storage(sealed)


def test_rekeys_saves_and_rewraps_continue_the_line(sealed: Path, folder: Path, seen: Path) -> None:
    storage = ksm_storage.open_storage(sealed)
    for number in range(3):
        ksm_storage.rekey(sealed)
        ksm_storage.rewrap(sealed, add=[new_key(folder / f"{number}.key")])
        assert storage.get("hostname") == CONFIG["hostname"]
        storage.set("url", str(number))

    assert ksm_storage.open_storage(sealed).get("url") == "2"
    record = record_in(seen, sealed)
    assert record is not None
    assert (record.generation, record.revision) == (4, 10)


def test_a_process_that_slept_through_rekeys_takes_the_newest(sealed: Path) -> None:
    storage = ksm_storage.open_storage(sealed)
    for _ in range(3):
        ksm_storage.rekey(sealed)

    assert storage.get("hostname") == CONFIG["hostname"]


@pytest.mark.parametrize("name", OPENERS)
def test_an_older_revision_is_refused_where_a_process_before_saw_a_newer_one(
    name: str, sealed: Path, seen: Path
) -> None:
    sealed.write_bytes(saved_twice(sealed))
    rolled_back = sealed.read_bytes()

    with pytest.raises(ContinuityError) as caught:
        OPENERS[name](sealed)

    assert sealed.read_bytes() == rolled_back
    assert caught.value.message.startswith(f"{str(sealed)!r} does not continue the file")
    assert f"ksm-storage accept {sealed}" in (caught.value.hint or "")


@pytest.mark.parametrize("name", OPENERS)
def test_the_newest_revision_opens_and_what_is_saved_is_remembered(
    name: str, sealed: Path, seen: Path
) -> None:
    saved_twice(sealed)

    OPENERS[name](sealed)

    record = record_in(seen, sealed)
    assert record is not None
    assert record.revision == revision_in(sealed)


def test_a_new_file_is_remembered_from_its_first_save(folder: Path, key: str, seen: Path) -> None:
    ksm_storage.open_storage(folder / "config", keys=[key]).set("hostname", "h")

    assert revisions_in(seen) == [1]


@pytest.mark.skipif(os.name == "nt", reason="a file name is bytes where it is not Windows")
def test_a_file_whose_name_is_not_text_is_remembered(sealed: Path, seen: Path) -> None:
    path = sealed.with_name(os.fsdecode(b"c'\n\xff.json"))
    sealed.rename(path)

    ksm_storage.open_storage(path).set("hostname", "newer")

    assert ksm_storage.open_storage(path).get("hostname") == "newer"
    found = record_in(seen, path)
    assert found is not None
    assert found.revision == revision_in(path)


def test_the_memory_is_for_its_owner_alone(sealed: Path, seen: Path) -> None:
    ksm_storage.open_storage(sealed)

    assert {oct(p.stat().st_mode & 0o777) for p in [seen, *seen.iterdir()]} == {"0o700", "0o600"}


def test_what_is_remembered_never_becomes_less(
    sealed: Path, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = saved_twice(sealed)
    monkeypatch.setenv("KSM_STORAGE_CONTINUITY", "warn")
    sealed.write_bytes(older)

    ksm_storage.open_storage(sealed)

    assert revisions_in(seen) == [2]


def test_a_forged_revision_is_not_remembered(sealed: Path, seen: Path) -> None:
    true = sealed.read_bytes()
    sealed.write_bytes(true.replace(b"\nrevision: 1\n", b"\nrevision: 999999999999\n"))

    with pytest.raises(KsmStorageError, match="does not open"):
        ksm_storage.open_storage(sealed)
    sealed.write_bytes(true)

    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG


def test_an_older_revision_in_a_variable_is_refused_where_a_process_before_saw_a_newer_one(
    sealed: Path, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = saved_twice(sealed)
    monkeypatch.setenv("KSM_STORAGE_CONFIG", base64.b64encode(sealed.read_bytes()).decode())
    ksm_storage.open_storage()
    monkeypatch.setenv("KSM_STORAGE_CONFIG", base64.b64encode(older).decode())

    with pytest.raises(ContinuityError, match=r"^the envelope does not continue"):
        ksm_storage.open_storage()


def test_the_settings_file_can_choose_both(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    rule = f"[[trust]]\nmemory = '{tmp_path / 'memory'}'\n"
    settings.write_text(rule)
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", str(settings))
    sealed.write_bytes(saved_twice(sealed))

    with pytest.raises(ContinuityError):
        ksm_storage.open_storage(sealed)
    settings.write_text(f"{rule}continuity = 'off'\n")

    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG


@pytest.mark.parametrize("content", [b"", b"7", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_a_memory_that_holds_no_record_is_refused(content: bytes, sealed: Path, seen: Path) -> None:
    ksm_storage.open_storage(sealed)
    (file,) = seen.iterdir()
    file.write_bytes(content)

    with pytest.raises(StorageError, match="is not a valid record") as caught:
        ksm_storage.open_storage(sealed)

    assert str(file) in caught.value.message
    assert "ksm-storage accept PATH" in (caught.value.hint or "")


@pytest.mark.parametrize("target", ["missing", "/etc/passwd"])
def test_a_link_in_the_memory_is_refused(target: str, sealed: Path, seen: Path) -> None:
    ksm_storage.open_storage(sealed)
    (file,) = seen.iterdir()
    file.unlink()
    file.symlink_to(target)

    with pytest.raises(StorageError, match=r"is not a valid record|is a symbolic link"):
        ksm_storage.open_storage(sealed)

    assert file.is_symlink()


def test_a_memory_that_cannot_be_written_is_an_error_where_a_file_is_opened(
    sealed: Path, seen: Path
) -> None:
    seen.parent.mkdir()
    seen.symlink_to("nowhere")

    with pytest.raises(StorageError, match="cannot create"):
        ksm_storage.open_storage(sealed)


@pytest.mark.parametrize("place", ["file/memory", "file", "loop/memory", "a" * 300, "loop"])
def test_a_memory_in_an_impossible_place_is_an_error_that_names_it(
    place: str, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / place))

    with pytest.raises(StorageError, match=r"cannot (read|create|open)") as caught:
        ksm_storage.open_storage(sealed)

    assert str(tmp_path / place) in caught.value.message


def test_a_save_stands_where_the_memory_cannot_be_written(
    sealed: Path, seen: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = ksm_storage.open_storage(sealed)
    for file in seen.iterdir():
        file.write_bytes(b"damaged")

    assert storage.set("hostname", "newer")["hostname"] == "newer"
    assert "is not a valid record" in caplog.text


def test_a_reader_beside_a_writer_is_never_refused(sealed: Path, seen: Path) -> None:
    def write() -> None:
        storage = ksm_storage.open_storage(sealed)
        for number in range(60):
            storage.set("url", str(number))

    writer = forked.start(write)
    opened = 0
    while not os.waitid(os.P_PID, writer, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        ksm_storage.open_storage(sealed)
        opened += 1

    assert forked.status_of(writer) == 0
    assert opened
    assert revision_in(sealed) == 61


@pytest.mark.parametrize("saves", [1, 2, 5])
def test_a_reader_is_not_refused_however_often_another_saves_before_it_asks_the_memory(
    saves: int, sealed: Path, seen: Path
) -> None:
    writer = ksm_storage.open_storage(sealed)
    meanwhile = [partial(writer.set, "url", str(number)) for number in range(saves)]

    def checked(found: FileContent) -> int:
        while_it_was_read = meanwhile.pop() if meanwhile else writer.read_storage
        while_it_was_read()
        envelope = decode(found.content)
        OpenPolicy.from_args(None, None, None).check(envelope, path=str(sealed))
        return envelope.header.revision

    assert with_envelope(str(sealed), checked) == 1 + saves


def test_a_rewrap_beside_a_writer_is_never_refused(
    sealed: Path, seen: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ksm_storage.storage import rewrapping, snapshot

    other, read = new_key(folder / "other.key"), snapshot.existing_envelope
    once = [partial(ksm_storage.open_storage(sealed).set, "url", "meanwhile")]

    def reading(*arguments: object, **named: object) -> object:
        found = read(*arguments, **named)  # type: ignore[arg-type]
        while once:
            once.pop()()
        return found

    monkeypatch.setattr(rewrapping, "existing_envelope", reading)

    assert ksm_storage.rewrap(sealed, add=[other]).added == (other,)
    assert ksm_storage.open_storage(sealed).get("url") == "meanwhile"


def test_a_change_of_profiles_beside_a_writer_is_never_refused(
    sealed: Path, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ksm_storage.storage.snapshot import existing_envelope

    once = [partial(ksm_storage.open_storage(sealed).set, "url", "meanwhile")]

    def reading(*arguments: object) -> object:
        found = existing_envelope(*arguments)  # type: ignore[arg-type]
        while once:
            once.pop()()
        return found

    monkeypatch.setattr("ksm_storage.storage.profiles.existing_envelope", reading)
    change_document(
        sealed, OpenPolicy.from_args(None, None, None), lambda it: with_new_profile(it, "new", {})
    )

    assert ksm_storage.open_storage(sealed, profile="_default").get("url") == "meanwhile"


def test_a_get_costs_one_stat_with_a_memory(
    sealed: Path, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(sealed)
    storage = ksm_storage.open_storage(sealed)
    with monkeypatch.context() as patch:
        for name in ("open", "lstat", "fstat", "read"):
            patch.setattr(os, name, None)
        value = storage.get("hostname")

    assert value == CONFIG["hostname"]


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["check", "--dry-run"],
        ["get", "hostname"],
        ["export", "--reveal"],
        ["rekey"],
        ["rewrap", "--dry-run", "--remove-key", "key-file:///x"],
    ],
    ids=" ".join,
)
def test_the_command_line_refuses_an_older_revision(
    command: list[str], sealed: Path, seen: Path
) -> None:
    sealed.write_bytes(saved_twice(sealed))
    name, *rest = command

    done = run(name, str(sealed), *rest)

    assert (done.returncode, done.stdout) == (ContinuityError.exit_code, "")
    assert "older: revision 1, and revision 2 is recorded" in done.stderr
    assert "hint: restore the newest version" in done.stderr


def test_a_refused_revision_is_told_to_the_audit_sinks(
    sealed: Path, seen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed.write_bytes(saved_twice(sealed))
    monkeypatch.setenv("KSM_STORAGE_AUDIT_FILE", str(tmp_path / "audit.jsonl"))

    for opener in OPENERS.values():
        with pytest.raises(EnvelopeError):
            opener(sealed)

    lines = (tmp_path / "audit.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [(event["event"], event["error"]) for event in told] == [
        ("refused", "ContinuityError")
    ] * len(OPENERS)
    assert {event["path"] for event in told} == {str(sealed)}


def test_what_another_process_saved_is_remembered_when_it_is_read(
    sealed: Path, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = ksm_storage.open_storage(sealed)
    with monkeypatch.context() as patch:
        patch.delenv("KSM_STORAGE_MEMORY")
        ksm_storage.open_storage(sealed).set("url", "u")

    assert storage.get("url") == "u"
    assert revisions_in(seen) == [2]


def test_a_changed_document_is_remembered(sealed: Path, seen: Path) -> None:
    change_document(
        sealed, OpenPolicy.from_args(None, None, None), lambda _: Document.single({"url": "u"})
    )

    assert revisions_in(seen) == [2]


@pytest.mark.parametrize("by", ["create_document", "protect"])
def test_a_file_that_was_sealed_is_remembered(by: str, folder: Path, key: str, seen: Path) -> None:
    if by == "protect":
        ksm_storage.protect(write_plain(folder / "config"), [key])
    else:
        create_document(
            folder / "config", OpenPolicy.from_args([key], None, None), Document.single({})
        )

    assert revisions_in(seen) == [1]


def test_a_lower_revision_or_generation_changes_nothing(tmp_path: Path) -> None:
    memory = Memory(str(tmp_path / "seen"))
    newest = Record(bytes(16), 2, bytes(32), 7, bytes(32))
    memory.write("/c", newest)

    for older in (newest._replace(revision=6), newest._replace(generation=1, revision=9)):
        memory.write("/c", older)
    memory.write("/c", newest._replace(envelope_id=bytes(15) + b"1", revision=9))

    assert memory.read("/c") == newest


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="no files without a name")
def test_records_that_are_made_at_the_same_time_do_not_wait_for_one_lock(tmp_path: Path) -> None:
    memory = Memory(str(tmp_path / "seen"))
    record = Record(bytes(16), 1, bytes(32), 1, bytes(32))

    memory.write("/first", record)
    with locked(str(tmp_path / "seen" / "no record")):
        memory.write("/second", record)

    assert memory.read("/second") == record


def test_a_record_is_made_where_a_file_cannot_be_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    memory = Memory(str(tmp_path / "seen"))
    record = Record(bytes(16), 1, bytes(32), 1, bytes(32))

    memory.write("/c", record)

    assert memory.read("/c") == record


def failing_folder_sync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_new_record_whose_folder_cannot_be_synced_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(str(tmp_path / "seen"))
    failing_folder_sync(monkeypatch, errno.EIO)

    with pytest.raises(StorageError, match="its folder cannot be synced"):
        memory.write("/c", Record(bytes(16), 1, bytes(32), 1, bytes(32)))


def test_a_new_record_is_made_where_folders_are_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(str(tmp_path / "seen"))
    record = Record(bytes(16), 1, bytes(32), 1, bytes(32))
    failing_folder_sync(monkeypatch, errno.EINVAL)

    memory.write("/c", record)

    assert memory.read("/c") == record

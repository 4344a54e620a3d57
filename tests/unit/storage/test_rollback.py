"""An older revision of an envelope is refused, warned of or taken, as the user's policy says."""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.config.document import Document
from ksm_storage.envelope.codec import decode
from ksm_storage.errors import (
    EnvelopeError,
    KsmStorageError,
    RollbackError,
    SettingsError,
    StorageError,
)
from ksm_storage.files.reading import FileContent
from ksm_storage.storage.open_policy import OpenPolicy
from ksm_storage.storage.profiles import (
    change_document,
    create_document,
    read_document,
    with_new_profile,
)
from ksm_storage.storage.rollback import SeenRevisions, configured_policy
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
    monkeypatch.setenv("KSM_STORAGE_SEEN", str(tmp_path / "state/seen"))
    return tmp_path / "state/seen"


def saved_twice(sealed: Path) -> bytes:
    """Save a newer revision, and return the content of the older one."""
    older = sealed.read_bytes()
    ksm_storage.open_storage(sealed).set("hostname", "newer")
    return older


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

    with pytest.raises(RollbackError, match="is at revision 1, but revision 2 was seen") as caught:
        storage.set("url", "u") if use == "set" else storage.get("hostname")
    left = sealed.read_bytes()
    sealed.write_bytes(newer)

    assert left == older
    assert str(sealed) in caught.value.message
    assert (caught.value.hint or "").endswith("on purpose, restart this program")
    assert storage.get("hostname") == "newer"


def test_an_older_revision_is_refused_before_any_call(folder: Path, counted: Counted) -> None:
    path = write_plain(folder / "config")
    ksm_storage.protect(path, keys=["counted://one"])
    storage = ksm_storage.open_storage(path)
    older = path.read_bytes()
    ksm_storage.rekey(path, keys=["counted://two"])
    storage.get("hostname")
    path.write_bytes(older)
    counted.calls.clear()

    with pytest.raises(RollbackError):
        storage.get("hostname")

    assert counted.calls == []


def test_a_program_that_starts_anew_takes_what_was_restored(sealed: Path) -> None:
    sealed.write_bytes(saved_twice(sealed))

    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG


def test_another_envelope_in_its_place_is_no_older_revision(sealed: Path, key: str) -> None:
    storage = ksm_storage.open_storage(sealed)
    storage.set("hostname", "newer")
    write_plain(sealed, {"hostname": "another"})
    ksm_storage.protect(sealed, keys=[key])

    assert storage.get("hostname") == "another"


def test_off_takes_an_older_revision_silently(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KSM_STORAGE_ROLLBACK", "off")
    storage = ksm_storage.open_storage(sealed)
    older = sealed.read_bytes()
    storage.set("hostname", "newer")
    sealed.write_bytes(older)

    assert storage.get("hostname") == CONFIG["hostname"]
    assert caplog.records == []


def test_warn_takes_an_older_revision_and_says_so(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KSM_STORAGE_ROLLBACK", "warn")
    storage = ksm_storage.open_storage(sealed)
    older = sealed.read_bytes()
    storage.set("hostname", "newer")
    sealed.write_bytes(older)

    assert storage.get("hostname") == CONFIG["hostname"]
    text = f"{str(sealed)!r} is at revision 1, but revision 2 was seen before"
    assert caplog.record_tuples == [("ksm_storage.rollback", logging.WARNING, f"warning: {text}")]


@pytest.mark.parametrize("name", OPENERS)
def test_an_older_revision_is_refused_where_a_process_before_saw_a_newer_one(
    name: str, sealed: Path, seen: Path
) -> None:
    sealed.write_bytes(saved_twice(sealed))
    rolled_back = sealed.read_bytes()

    with pytest.raises(RollbackError) as caught:
        OPENERS[name](sealed)

    assert sealed.read_bytes() == rolled_back
    assert caught.value.message.startswith(f"{str(sealed)!r} is at revision 1, but")
    assert str(seen / decode(rolled_back).header.envelope_id.hex()) in (caught.value.hint or "")


@pytest.mark.parametrize("name", OPENERS)
def test_the_newest_revision_opens_and_what_is_saved_is_remembered(
    name: str, sealed: Path, seen: Path
) -> None:
    saved_twice(sealed)

    OPENERS[name](sealed)

    remembered = (seen / decode(sealed.read_bytes()).header.envelope_id.hex()).read_text()
    assert remembered == f"{revision_in(sealed)}\n"


def test_a_new_file_is_remembered_from_its_first_save(folder: Path, key: str, seen: Path) -> None:
    ksm_storage.open_storage(folder / "config", keys=[key]).set("hostname", "h")

    assert [path.read_text() for path in seen.iterdir()] == ["1\n"]


def test_the_memory_is_for_its_owner_alone(sealed: Path, seen: Path) -> None:
    ksm_storage.open_storage(sealed)

    assert {oct(p.stat().st_mode & 0o777) for p in [seen, *seen.iterdir()]} == {"0o700", "0o600"}


def test_what_is_remembered_never_becomes_less(
    sealed: Path, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = saved_twice(sealed)
    monkeypatch.setenv("KSM_STORAGE_ROLLBACK", "warn")
    sealed.write_bytes(older)

    ksm_storage.open_storage(sealed)

    assert [path.read_text() for path in seen.iterdir()] == ["2\n"]


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
    monkeypatch.setenv("KSM_STORAGE_CONFIG", base64.b64encode(saved_twice(sealed)).decode())

    with pytest.raises(RollbackError, match=r"^the envelope is at revision 1, but"):
        ksm_storage.open_storage()


def test_removing_the_file_that_the_hint_names_accepts_what_was_restored(
    sealed: Path, seen: Path
) -> None:
    sealed.write_bytes(saved_twice(sealed))
    (seen / decode(sealed.read_bytes()).header.envelope_id.hex()).unlink()

    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG


def test_the_settings_file_can_choose_both(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[rollback]\npolicy = 'refuse'\nseen = '{tmp_path / 'memory'}'\n")
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", str(settings))
    sealed.write_bytes(saved_twice(sealed))

    with pytest.raises(RollbackError):
        ksm_storage.open_storage(sealed)
    monkeypatch.setenv("KSM_STORAGE_ROLLBACK", "off")

    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG


@pytest.mark.parametrize(
    ("text", "problem", "advice"),
    [
        ("policy = 'sometimes'", "'sometimes' is not a rollback policy", "to off, warn or refuse"),
        ("policy = 3", "3 is not a rollback policy", "to off, warn or refuse"),
        ("seen = 3", r"'seen' of the table \[rollback\] must be a path", ""),
        (
            "other = 'x'",
            r"unknown option 'other' .* \[rollback\]",
            "available options: policy, seen",
        ),
    ],
)
def test_a_policy_that_is_none_is_a_settings_error(
    text: str,
    problem: str,
    advice: str,
    sealed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "settings.toml").write_text(f"[rollback]\n{text}\n")
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", str(tmp_path / "settings.toml"))

    with pytest.raises(SettingsError, match=problem) as caught:
        ksm_storage.open_storage(sealed)

    assert (caught.value.hint or "").endswith(advice)


@pytest.mark.parametrize("content", [b"", b"0\n", b"7", b"7\nx", b"-1\n", b"9" * 40 + b"\n"])
def test_a_memory_that_holds_no_revision_is_refused(
    content: bytes, sealed: Path, seen: Path
) -> None:
    ksm_storage.open_storage(sealed)
    (file,) = seen.iterdir()
    file.write_bytes(content)

    with pytest.raises(StorageError, match="does not contain a revision") as caught:
        ksm_storage.open_storage(sealed)

    assert str(file) in caught.value.message
    assert (caught.value.hint or "").startswith("delete it")


def test_a_memory_that_cannot_be_written_is_an_error_where_a_file_is_opened(
    sealed: Path, seen: Path
) -> None:
    seen.parent.mkdir()
    seen.symlink_to("nowhere")

    with pytest.raises(StorageError, match="cannot create"):
        ksm_storage.open_storage(sealed)


def test_a_save_stands_where_the_memory_cannot_be_written(
    sealed: Path, seen: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = ksm_storage.open_storage(sealed)
    for file in seen.iterdir():
        file.write_bytes(b"damaged")

    assert storage.set("hostname", "newer")["hostname"] == "newer"
    assert "does not contain a revision" in caplog.text


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
        header = decode(found.content).header
        configured_policy().check(header, newest=0, path=str(sealed))
        return header.revision

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

    assert (done.returncode, done.stdout) == (RollbackError.exit_code, "")
    assert "is at revision 1, but revision 2 was seen before" in done.stderr
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
        ("refused", "RollbackError")
    ] * len(OPENERS)
    assert {event["path"] for event in told} == {str(sealed)}


def test_what_another_process_saved_is_remembered_when_it_is_read(
    sealed: Path, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = ksm_storage.open_storage(sealed)
    with monkeypatch.context() as patch:
        patch.delenv("KSM_STORAGE_SEEN")
        ksm_storage.open_storage(sealed).set("url", "u")

    assert storage.get("url") == "u"
    assert [path.read_text() for path in seen.iterdir()] == ["2\n"]


def test_a_changed_document_is_remembered(sealed: Path, seen: Path) -> None:
    change_document(
        sealed, OpenPolicy.from_args(None, None, None), lambda _: Document.single({"url": "u"})
    )

    assert [path.read_text() for path in seen.iterdir()] == ["2\n"]


@pytest.mark.parametrize("by", ["create_document", "protect"])
def test_a_file_that_was_sealed_is_remembered(by: str, folder: Path, key: str, seen: Path) -> None:
    if by == "protect":
        ksm_storage.protect(write_plain(folder / "config"), [key])
    else:
        create_document(
            folder / "config", OpenPolicy.from_args([key], None, None), Document.single({})
        )

    assert [path.read_text() for path in seen.iterdir()] == ["1\n"]


def test_a_smaller_revision_changes_nothing(tmp_path: Path) -> None:
    memory = SeenRevisions(str(tmp_path / "seen"))
    memory.remember(bytes(16), 7)

    memory.remember(bytes(16), 6)

    assert memory.newest(bytes(16)) == 7

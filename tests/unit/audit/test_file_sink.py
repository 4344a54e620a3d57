"""The built-in sink keeps one chain, whoever appends, and its failure stops nothing."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.audit import events as audit_events
from ksm_storage.audit.chain import Verification
from ksm_storage.audit.events import FILE_VARIABLE, emit
from ksm_storage.envelope.codec import decode
from ksm_storage.errors import DecryptionError, EnvelopeError, KsmStorageError
from tests.cli.command import key_file

CANARY = "canary-7f3a9c"


@pytest.fixture(autouse=True)
def nothing_said_yet() -> Iterator[None]:
    """Let this process warn again."""
    audit_events._warned.clear()
    yield
    audit_events._warned.clear()


@pytest.fixture
def trail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name an audit file that does not exist yet."""
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "audit.jsonl"))
    return tmp_path / "audit.jsonl"


def events(trail: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in trail.read_text().splitlines()]


def problems(trail: Path) -> list[tuple[int, str]]:
    return list(Verification().findings(trail.read_bytes().splitlines(keepends=True)))


def sealed(folder: Path) -> Path:
    path = folder / "c.json"
    path.write_text(json.dumps({"hostname": "h", "appKey": CANARY}))
    ksm_storage.protect(path, [key_file(folder)])
    return path


def test_what_happens_to_a_file_is_told_in_order(tmp_path: Path, trail: Path) -> None:
    path = sealed(tmp_path)
    ksm_storage.open_storage(path).set("hostname", CANARY)
    with pytest.raises(DecryptionError):
        ksm_storage.open_storage(path, context={"env": "other"})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(EnvelopeError):
        ksm_storage.open_storage(path)

    kinds = [event["event"] for event in events(trail)]

    assert kinds == ["protected", "opened", "saved", "refused", "refused"]
    assert [event["revision"] for event in events(trail)[:3]] == [1, 1, 2]
    assert {event["path"] for event in events(trail)} == {str(path)}
    assert problems(trail) == []


def test_the_first_save_of_a_new_file_is_told(tmp_path: Path, trail: Path) -> None:
    storage = ksm_storage.open_storage(tmp_path / "new", keys=[key_file(tmp_path)])
    storage.set("hostname", CANARY)

    (told,) = events(trail)
    header = decode((tmp_path / "new").read_bytes()).header
    assert (told["event"], told["path"]) == ("saved", str(tmp_path / "new"))
    assert (told["envelope_id"], told["revision"]) == (header.envelope_id.hex(), 1)


def test_no_secret_payload_or_wrapped_key_is_in_any_event(tmp_path: Path, trail: Path) -> None:
    from ksm_storage.envelope.codec import decode
    from ksm_storage.wire.base64_forms import to_base64

    path = sealed(tmp_path)
    ksm_storage.open_storage(path).set("privateKey", CANARY)

    text = trail.read_text()
    wrapped = decode(path.read_bytes()).header.recipients[0].ciphertext
    key = (tmp_path / "app.key").read_bytes()

    assert CANARY not in text
    for secret in (wrapped, key):
        assert secret.hex() not in text
        assert to_base64(secret) not in text


def test_a_second_recipient_that_opens_is_told_with_the_one_that_failed(
    tmp_path: Path, trail: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    first, second = key_file(other), key_file(tmp_path)
    path = tmp_path / "c.json"
    path.write_text('{"hostname": "h"}')
    ksm_storage.protect(path, [first, second])
    (other / "app.key").unlink()

    ksm_storage.open_storage(path)

    told = next(event for event in events(trail) if event["event"] == "failed_over")
    assert (told["keys"], told["instead_of"]) == ([second], [first])
    header = decode(path.read_bytes()).header
    assert (told["envelope_id"], told["revision"]) == (header.envelope_id.hex(), header.revision)


def test_an_opening_and_a_refused_one_name_the_file_and_the_envelope(
    tmp_path: Path, trail: Path
) -> None:
    key = key_file(tmp_path)
    path = tmp_path / "c.json"
    path.write_text('{"hostname": "h"}')
    ksm_storage.protect(path, [key])
    header = decode(path.read_bytes()).header
    trail.unlink()

    ksm_storage.open_storage(path)
    (tmp_path / "app.key").unlink()
    with pytest.raises(KsmStorageError) as caught:
        ksm_storage.open_storage(path)

    opened, refused = events(trail)
    for told in (opened, refused):
        assert (told["path"], told["revision"]) == (str(path), header.revision)
        assert told["envelope_id"] == header.envelope_id.hex()
    assert (opened["event"], opened["keys"]) == ("opened", [key])
    assert refused["event"] == "refused"
    assert (refused["error"], refused["error_key"]) == (type(caught.value).__name__, key)


def test_a_file_that_another_process_made_is_told_where_it_is_opened(
    tmp_path: Path, trail: Path
) -> None:
    key, path = key_file(tmp_path), tmp_path / "c.json"
    storage = ksm_storage.open_storage(path, keys=[key])
    ksm_storage.open_storage(path, keys=[key]).set("hostname", "h")
    trail.unlink()

    storage.get("hostname")

    (told,) = events(trail)
    assert (told["event"], told["path"], told["keys"]) == ("opened", str(path), [key])


def test_the_file_is_readable_by_its_owner_alone(trail: Path) -> None:
    emit("opened", path="x")

    assert stat.S_IMODE(trail.stat().st_mode) == 0o600


def test_several_processes_keep_one_chain(trail: Path) -> None:
    code = "from ksm_storage.audit.events import emit\nfor _ in range(50): emit('opened', path='x')"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(timeout=50) for process in processes] == [0] * 4

    assert [event["number"] for event in events(trail)] == list(range(1, 201))
    assert problems(trail) == []


def test_a_line_that_a_crash_cut_off_is_found_and_the_chain_goes_on(trail: Path) -> None:
    emit("opened", path="x")
    whole = trail.read_bytes()
    trail.write_bytes(whole + whole[:40])

    emit("saved", path="x")

    assert problems(trail) == [(2, "cut off, or not an event")]


@pytest.mark.parametrize("place", ["missing/audit.jsonl", "", "fifo", "other"])
def test_a_sink_that_fails_stops_no_save_and_says_so_once(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "other").write_text("no audit file\n")
    path = sealed(tmp_path)
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / place))

    with caplog.at_level(logging.WARNING):
        storage = ksm_storage.open_storage(path)
        storage.set("hostname", "kept")

    assert ksm_storage.open_storage(path).get("hostname") == "kept"
    assert len([r for r in caplog.records if r.name == "ksm_storage.audit"]) == 1
    if place == "missing/audit.jsonl":
        assert "; create the folder first" in caplog.text


def test_a_sink_of_no_plugin_is_said_once_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KSM_STORAGE_AUDIT_SINKS", "nobody")

    emit("opened", path="x")
    emit("opened", path="x")

    assert [r.getMessage() for r in caplog.records] == [
        "warning: audit events are lost: no installed plugin provides the audit sink 'nobody'"
    ]


def test_the_settings_file_names_the_sink_too(tmp_path: Path, private_home: Path) -> None:
    settings = private_home / ".config/ksm-storage/settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'[audit]\nfile = "{tmp_path / "a.jsonl"}"\n')

    emit("opened", path="x")

    assert len(events(tmp_path / "a.jsonl")) == 1


def test_a_file_that_was_rotated_away_is_begun_anew(trail: Path) -> None:
    emit("opened", path="x")
    trail.rename(trail.with_name("audit.1"))

    emit("opened", path="x")

    assert [event["number"] for event in events(trail)] == [1]


def test_a_process_without_a_sink_loads_no_part_of_it_but_the_events() -> None:
    code = (
        "import sys; from ksm_storage.audit.events import emit; emit('opened', path='x'); "
        "print(*(m for m in sys.modules if m.startswith('ksm_storage.audit')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) == {"ksm_storage.audit", "ksm_storage.audit.events"}

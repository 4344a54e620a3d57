"""What one process saves the others see, undo nothing of, and pay no key service for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.codec import decode, encode, wrap_aad
from ksm_storage.envelope.opening import open_envelope
from ksm_storage.envelope.sealing import recipient_of, rekey, rewrap, seal, wrap_new_dek
from ksm_storage.errors import EnvelopeError, KsmStorageError, StorageError
from ksm_storage.keys.kek import Kek
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, names_in, settle, write_plain
from tests.unit.storage.planted import Counted

WATCHED = ("stat", "lstat", "fstat", "open", "read", "listdir", "readlink", "access")


@pytest.fixture
def counted_file(folder: Path, counted: Counted) -> Path:
    """Seal the configuration under a key that counts its calls, and forget those so far."""
    path = write_plain(folder / "config")
    ksm_storage.protect(path, keys=["counted://one"])
    counted.calls.clear()
    return path


@pytest.fixture
def calls_of_os(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count the calls to the operating system from here on."""
    counter: Counter[str] = Counter()
    for name in WATCHED:
        monkeypatch.setattr(os, name, _counting(name, getattr(os, name), counter))
    yield counter
    monkeypatch.undo()


def test_another_process_is_seen_by_the_next_get(sealed: Path) -> None:
    storage = ksm_storage.open_storage(sealed)
    for number in range(20):
        text = f"version {number}"

        assert forked.run(partial(ksm_storage.open_storage(sealed).set, "url", text)) == 0
        assert storage.get("url") == text


def test_a_get_costs_one_stat(sealed: Path, calls_of_os: Counter[str]) -> None:
    settle(sealed)
    storage = ksm_storage.open_storage(sealed)
    calls_of_os.clear()

    for _ in range(10):
        storage.get("hostname")

    assert calls_of_os == {"stat": 10}


def test_a_get_costs_one_stat_after_a_save_of_its_own(
    sealed: Path, calls_of_os: Counter[str]
) -> None:
    storage = ksm_storage.open_storage(sealed)
    storage.set("hostname", "h")
    settle(sealed)
    storage.get("hostname")
    calls_of_os.clear()

    storage.get("hostname")

    assert calls_of_os == {"stat": 1}


def test_a_get_costs_one_stat_in_a_file_that_another_process_made(
    folder: Path, key: str, calls_of_os: Counter[str]
) -> None:
    path = folder / "config"
    storage = ksm_storage.open_storage(path, keys=[key])
    ksm_storage.open_storage(path, keys=[key]).save_storage(CONFIG)
    settle(path)
    storage.get("hostname")
    calls_of_os.clear()

    storage.get("hostname")

    assert calls_of_os == {"stat": 1}


def test_a_file_that_was_written_a_moment_ago_is_looked_into(
    sealed: Path, calls_of_os: Counter[str]
) -> None:
    # A time stamp of the last tick proves nothing, as it would of the next one.
    os.utime(sealed, (2**33, 2**33))
    storage = ksm_storage.open_storage(sealed)
    calls_of_os.clear()

    storage.get("hostname")

    assert calls_of_os["open"] == calls_of_os["stat"] == 1


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_a_get_is_one_system_call(sealed: Path, tmp_path: Path) -> None:
    settle(sealed)
    program = (
        "import os, sys, ksm_storage\n"
        "storage = ksm_storage.open_storage(sys.argv[1])\n"
        "os.path.exists('/begin')\n"
        "for _ in range(10): storage.get('hostname')\n"
        "os.path.exists('/end')\n"
    )
    trace = tmp_path / "trace"
    command = ["strace", "-e", "trace=file,desc", "-o", str(trace), sys.executable, "-c", program]

    done = subprocess.run([*command, str(sealed)], capture_output=True, check=False)
    if done.returncode and b"ptrace" in done.stderr:
        pytest.skip("this container may not trace")
    assert done.returncode == 0, done.stderr

    lines = trace.read_text().split('"/begin"')[1].split('"/end"')[0].splitlines()[1:-1]
    assert len(lines) == 10
    assert all("stat" in line and str(sealed) in line for line in lines)


def test_saves_and_reads_call_no_key_service(counted_file: Path, counted: Counted) -> None:
    storage = ksm_storage.open_storage(counted_file)
    for number in range(20):
        storage.set(f"field{number}", "x")
        storage.get("hostname")
    storage.delete("hostname")
    storage.delete_all()

    assert counted.calls == [("unwrap", "one")]


def test_another_process_saving_calls_no_key_service_here(
    counted_file: Path, counted: Counted
) -> None:
    storage = ksm_storage.open_storage(counted_file)

    assert forked.run(lambda: ksm_storage.open_storage(counted_file).set("url", "u")) == 0

    assert storage.get("url") == "u"
    assert storage.set("bat", "b")["url"] == "u"
    assert counted.calls == [("unwrap", "one")]


def test_a_new_dek_costs_one_unwrap(counted_file: Path, counted: Counted) -> None:
    storage = ksm_storage.open_storage(counted_file)
    envelope = decode(counted_file.read_bytes())
    with Kek.open(KeyUri.parse("counted://two")) as kek:
        opened = open_envelope(envelope)
        rekeyed, _ = rekey(envelope, opened.payload, [kek], old_dek=opened.dek)
        counted_file.write_bytes(encode(rekeyed))
    counted.calls.clear()

    for _ in range(10):
        assert storage.get("hostname") == CONFIG["hostname"]
    storage.set("hostname", "h")

    assert counted.calls == [("unwrap", "two")]


def test_other_recipients_of_the_same_dek_cost_no_unwrap(
    counted_file: Path, counted: Counted
) -> None:
    storage = ksm_storage.open_storage(counted_file)
    dek = open_envelope(decode(counted_file.read_bytes())).dek
    counted_file.write_bytes(_with_second_recipient(counted_file.read_bytes(), dek))
    counted.calls.clear()

    storage.set("hostname", "h")

    assert storage.get("hostname") == "h"
    assert counted.calls == []
    assert len(decode(counted_file.read_bytes()).header.recipients) == 2


def test_a_set_never_undoes_what_another_process_set(sealed: Path) -> None:
    def work(writer: int) -> None:
        storage = ksm_storage.open_storage(sealed)
        for number in range(10):
            storage.set(f"{writer}/{number}", "x")

    started = [forked.start(partial(work, writer)) for writer in range(4)]

    assert [forked.status_of(process) for process in started] == [0] * 4
    config = ksm_storage.open_storage(sealed).read_storage()
    expected = {f"{writer}/{number}" for writer in range(4) for number in range(10)}
    assert expected - set(config) == set()


def test_a_set_in_a_file_that_all_begin_at_once_undoes_nothing(folder: Path, key: str) -> None:
    def work(writer: int) -> None:
        storage = ksm_storage.open_storage(folder / "config", keys=[key])
        storage.set(str(writer), "x")

    started = [forked.start(partial(work, writer)) for writer in range(8)]

    assert [forked.status_of(process) for process in started] == [0] * 8
    assert set(ksm_storage.open_storage(folder / "config").read_storage()) == set("01234567")
    assert names_in(folder) == ["config"]


@pytest.mark.parametrize("in_place", [False, True], ids=["renamed", "in place"])
@pytest.mark.parametrize("size", [10, 150_000])
def test_a_reader_beside_a_writer_sees_no_torn_and_no_older_file(
    in_place: bool, size: int, sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = ksm_storage.open_storage(sealed)
    storage.save_storage({"count": "0", "filler": "x" * size})

    def write() -> None:
        if in_place:
            monkeypatch.setattr(os, "replace", _busy)
        writer = ksm_storage.open_storage(sealed)
        for number in range(1, 60):
            writer.save_storage({"count": str(number), "filler": "x" * (size + number % 3 * 4000)})

    process = forked.start(write)
    seen = [0]
    while seen[-1] < 59 and not os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        seen.append(int(storage.get("count") or -1))

    assert forked.status_of(process) == 0
    assert storage.get("count") == "59"
    assert seen == sorted(seen)


@pytest.mark.parametrize("use", ["get", "set"])
@pytest.mark.parametrize(
    "happens",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"rubbish"),
        lambda path: write_plain(path),
        lambda path: path.write_bytes(b"\xff\xff\x00\x02"),
        lambda path: path.write_bytes(bytes(1000)),
    ],
    ids=["empty", "rubbish", "plain", "official", "nul bytes"],
)
def test_a_file_that_another_program_wrote_over_is_not_written(
    happens: Callable[[Path], object], use: str, sealed: Path, folder: Path
) -> None:
    storage = ksm_storage.open_storage(sealed)
    before = sealed.read_bytes()
    happens(sealed)
    damaged = sealed.read_bytes()

    with pytest.raises(StorageError) as caught:
        _used(storage, use)
    found = sealed.read_bytes()
    sealed.write_bytes(before)

    assert caught.value.hint
    assert found == damaged
    assert storage.read_storage() == CONFIG
    assert names_in(folder) == ["client-config.json"]


@pytest.mark.parametrize("use", ["get", "set"])
@pytest.mark.parametrize("cut", [2, 40, 300])
def test_a_file_that_was_cut_off_is_not_written(use: str, cut: int, sealed: Path) -> None:
    storage = ksm_storage.open_storage(sealed)
    before = sealed.read_bytes()
    sealed.write_bytes(before[:-cut])

    with pytest.raises(KsmStorageError):
        _used(storage, use)
    found = sealed.read_bytes()
    sealed.write_bytes(before)

    assert found == before[:-cut]
    assert storage.read_storage() == CONFIG


@pytest.mark.parametrize("use", ["get", "set", "batch"])
def test_a_file_that_was_deleted_is_not_made_again(use: str, sealed: Path, folder: Path) -> None:
    storage = ksm_storage.open_storage(sealed)
    before = sealed.read_bytes()
    sealed.unlink()

    with pytest.raises(StorageError) as caught:
        _used(storage, use)

    assert caught.value.message == f"cannot read {str(sealed)!r}: No such file or directory"
    assert names_in(folder) == []
    sealed.write_bytes(before)
    assert storage.read_storage() == CONFIG


@pytest.mark.parametrize("use", ["get", "set"])
def test_a_file_whose_folder_was_deleted_is_an_error(use: str, sealed: Path, folder: Path) -> None:
    storage = ksm_storage.open_storage(sealed)
    shutil.rmtree(folder)

    with pytest.raises(StorageError):
        _used(storage, use)

    assert not folder.exists()


def test_a_payload_that_is_no_configuration_is_refused(folder: Path, key: str) -> None:
    with Kek.open(KeyUri.parse(key)) as kek:
        (folder / "config").write_bytes(encode(seal(b"[1]", wrap_new_dek([kek]))))

    with pytest.raises(EnvelopeError, match="the sealed payload"):
        ksm_storage.open_storage(folder / "config")


def test_a_configuration_that_is_too_large_is_refused_and_the_old_one_stays(sealed: Path) -> None:
    storage = ksm_storage.open_storage(sealed)

    with pytest.raises(EnvelopeError, match="larger than"):
        storage.set("url", "x" * 2_000_000)

    assert storage.read_storage() == ksm_storage.open_storage(sealed).read_storage() == CONFIG


def test_each_save_grows_the_revision_and_draws_a_new_message_id(sealed: Path) -> None:
    storage = ksm_storage.open_storage(sealed)
    headers = []
    for number in range(5):
        storage.set("url", str(number))
        headers.append(decode(sealed.read_bytes()).header)

    assert [header.revision for header in headers] == [2, 3, 4, 5, 6]
    assert len({header.message_id for header in headers}) == 5
    assert len({header.envelope_id for header in headers}) == 1


def _used(storage: EncryptedStorage, use: str) -> None:
    if use == "get":
        storage.get("hostname")
    elif use == "set":
        storage.set("hostname", "h")
    else:
        with storage.batch():
            storage.set("hostname", "h")


def _busy(source: object, target: object) -> None:
    raise OSError(16, "Device or resource busy")


def _counting(name: str, call: Callable[..., Any], counter: Counter[str]) -> Callable[..., Any]:
    def counting(*arguments: Any, **named: Any) -> Any:
        counter[name] += 1
        return call(*arguments, **named)

    return counting


def _with_second_recipient(raw: bytes, dek: bytes) -> bytes:
    envelope = decode(raw)
    header = envelope.header
    with Kek.open(KeyUri.parse("counted://two")) as kek:
        second = recipient_of(
            "counted", kek.wrap(dek, aad=wrap_aad(header.envelope_id, 1, header.context))
        )
    return encode(rewrap(envelope, [*header.recipients, second], dek=dek))

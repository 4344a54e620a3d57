"""What was acknowledged is there after a crash, at whatever moment."""

from __future__ import annotations

import http.client
import random
import signal
import threading

import pytest
from ksm_storage_local_vault.data_folder import DataFolder
from ksm_storage_local_vault.testing import LocalVault

from .device import Device

WRITERS = 3
KILLS = 4


def test_acknowledged_writes_outlive_kills(own_vault: LocalVault) -> None:
    acknowledged: set[str] = set()
    first = Device.bound(own_vault)
    folder = first.ask("get_secret")["folders"][0]
    folder_uid, folder_key = folder["folderUid"], first.folder_key(folder)

    for round_number in range(KILLS):
        before_kill = random.Random(round_number).randint(3, 12)
        done = _write_until_killed(own_vault, folder_uid, folder_key, kill_after=before_kill)
        acknowledged |= done
        own_vault.start()

    assert len(acknowledged) > KILLS
    assert acknowledged <= _record_uids(first)


def test_a_binding_outlives_a_kill(own_vault: LocalVault) -> None:
    device = Device.bound(own_vault)

    own_vault.kill()
    own_vault.start()

    assert device.ask("get_secret")["records"]


def test_file_addresses_outlive_a_kill(own_vault: LocalVault) -> None:
    device = Device.bound(own_vault)
    records = device.ask("get_secret")["records"]
    url = next(file["url"] for record in records for file in record["files"])

    own_vault.kill()
    own_vault.start()

    assert device.exchange("GET", url.split(own_vault.address)[1]).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_being_told_to_stop_is_no_failure(own_vault: LocalVault, number: signal.Signals) -> None:
    folder = DataFolder(own_vault.data)
    running = folder.read_address()

    code = own_vault.stop(number)

    assert (running, code) == (own_vault.address, 0)
    assert folder.read_address() is None
    # The journal is folded into the file, so that a copy of the one file is a whole backup.
    assert not folder.database.with_name("vault.sqlite3-wal").exists()


def _write_until_killed(
    vault: LocalVault, folder_uid: str, folder_key: bytes, *, kill_after: int
) -> set[str]:
    done: list[str] = []
    enough = threading.Event()

    def write() -> None:
        device = Device.bound(vault)
        while True:
            record = device.new_record(folder_uid, folder_key, {"title": "written"})
            device.ask("create_secret", **record)
            done.append(record["recordUid"])
            if len(done) >= kill_after:
                enough.set()

    def write_until_refused() -> None:
        try:
            write()
        except (OSError, http.client.HTTPException):
            enough.set()

    threads = [threading.Thread(target=write_until_refused) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    assert enough.wait(30)
    vault.kill()
    for thread in threads:
        thread.join(30)
    return set(done)


def _record_uids(device: Device) -> set[str]:
    answer = device.ask("get_secret")
    groups = [answer["records"], *(folder["records"] for folder in answer["folders"])]
    return {record["recordUid"] for group in groups for record in group}

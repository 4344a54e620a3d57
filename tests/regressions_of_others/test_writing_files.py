"""A save replaces the file wholly, privately, and nothing besides it."""

from __future__ import annotations

import itertools
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core.configkeys import ConfigKeys

import ksm_storage
from ksm_storage.envelope.codec import decode
from ksm_storage.errors import StorageError
from tests.cli.command import run
from tests.regressions_of_others.full_disk import no_room
from tests.regressions_of_others.services import Aws
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, names_in, write_plain

NEW_HOST = "keepersecurity.eu"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_manager_916_no_file_is_readable_by_others(
    folder: Path, key: str, aws: Aws, official_aws: Any
) -> None:
    """There, configurations are created readable by everyone; here, a new file and a protected one
    are their owner's alone, whatever the umask.
    """
    old = os.umask(0o022)
    try:
        official_aws(aws.new_key(), folder / "official")
        assert mode_of(folder / "official") == 0o644

        ksm_storage.open_storage(folder / "new", keys=[key]).set("hostname", "h")
        plain = write_plain(folder / "protected")
        ksm_storage.protect(plain, keys=[key])
    finally:
        os.umask(old)

    assert (mode_of(folder / "new"), mode_of(plain)) == (0o600, 0o600)


def test_storage_1_1_0_a_save_does_not_widen_the_mode(
    sealed: Path, folder: Path, aws: Aws, official_aws: Any
) -> None:
    """There, each save makes a private file readable by everyone; here, its mode stays."""
    old = os.umask(0o022)
    try:
        path = write_plain(folder / "official")
        official = official_aws(aws.new_key(), path)
        path.chmod(0o600)
        official.set(ConfigKeys.KEY_HOSTNAME, NEW_HOST)
        assert mode_of(path) == 0o644

        ksm_storage.open_storage(sealed).set("hostname", NEW_HOST)
    finally:
        os.umask(old)

    assert mode_of(sealed) == 0o600


def test_secrets_manager_1132_a_failed_save_leaves_no_temporary_file(
    sealed: Path, folder: Path
) -> None:
    """There, a temporary file with the secrets was left behind when a save failed late; here, the
    folder holds the file alone.
    """
    with no_room(), pytest.raises(StorageError):
        ksm_storage.open_storage(sealed).set("hostname", NEW_HOST)

    assert names_in(folder) == [sealed.name]


def test_secrets_manager_1132_a_hard_link_never_shows_half_a_file(
    sealed: Path, folder: Path
) -> None:
    """There, a file with a second hard link was written in place, and a crash damaged both; here,
    the file is replaced as any other, and the other name keeps the old one, whole and sealed.
    """
    other = folder / "other-name"
    os.link(sealed, other)
    before = other.read_bytes()

    ksm_storage.open_storage(sealed).set("hostname", NEW_HOST)

    assert ksm_storage.open_storage(sealed).get("hostname") == NEW_HOST
    assert other.read_bytes() == before
    assert ksm_storage.open_storage(other).read_storage() == CONFIG


def test_secrets_manager_1109_a_dangling_link_stays_a_link(folder: Path, key: str) -> None:
    """There, a link to a file that does not exist was replaced by a regular file, and what it led
    to was never written; here, it is refused before a DEK is wrapped or a token spent.
    """
    link = folder / "config"
    link.symlink_to(folder / "not-mounted-yet/config")

    with pytest.raises(StorageError, match="a symbolic link to a missing file"):
        ksm_storage.open_storage(link, keys=[key])

    assert link.is_symlink()
    assert names_in(folder) == ["config"]


def test_storage_1_1_0_a_link_to_the_file_stays_a_link(
    sealed: Path, folder: Path, aws: Aws, official_aws: Any
) -> None:
    """There, a save replaces the link by a file, and its target grows old; here, the target is
    replaced.
    """
    link = folder / "official"
    link.symlink_to(write_plain(folder / "target"))
    official_aws(aws.new_key(), link)
    assert not link.is_symlink()

    (folder / "ours").symlink_to(sealed)
    ksm_storage.open_storage(folder / "ours").set("hostname", NEW_HOST)
    assert (folder / "ours").is_symlink()
    assert ksm_storage.open_storage(sealed).get("hostname") == NEW_HOST


def test_storage_1_1_0_a_planted_temporary_name_leads_nowhere(
    sealed: Path, folder: Path, tmp_path: Path, aws: Aws, official_aws: Any
) -> None:
    """There, the temporary file has a known name, and a link of that name leads the write to any
    file of the victim; here, what lies at the name of a temporary file is never opened.
    """
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = write_plain(folder / "official")
    (folder / "official.tmp").symlink_to(victim)
    official_aws(aws.new_key(), path)
    assert victim.read_bytes() != b"precious"

    victim.write_text("precious")
    planted = sealed.with_name(f".{sealed.name}.ksm-tmp")
    for number, name in enumerate((planted, Path(f"{sealed}.tmp"))):
        name.symlink_to(victim)
        ksm_storage.open_storage(sealed).set("hostname", f"host{number}")
    assert victim.read_bytes() == b"precious"
    assert not planted.is_symlink()


def test_secrets_manager_1027_a_save_without_room_keeps_the_old_file(
    sealed: Path, folder: Path, official_oracle: Callable[[Path], Any]
) -> None:
    """There, the file is cut to nothing before it is written, so that a full disk loses the
    configuration; here, the old file stands until the new one is whole.
    """
    path = write_plain(folder / "official")
    official = official_oracle(path)
    with no_room(), pytest.raises(OSError, match="too large"):
        official.set(ConfigKeys.KEY_HOSTNAME, NEW_HOST)
    assert path.stat().st_size == 0

    with no_room(), pytest.raises(StorageError):
        ksm_storage.open_storage(sealed).set("hostname", NEW_HOST)
    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG


def test_storage_1_1_0_a_kill_while_saving_loses_nothing(sealed: Path) -> None:
    """There, 181 of 400 processes that were killed while saving lost the configuration; here, the
    file opens after each kill.
    """

    def save_for_ever() -> None:
        storage = ksm_storage.open_storage(sealed)
        for number in itertools.count():
            storage.set("hostname", f"host{number}")

    for _ in range(8):
        before = sealed.read_bytes()
        process = forked.start(save_for_ever)
        while sealed.read_bytes() == before:
            os.sched_yield()
        os.kill(process, signal.SIGKILL)
        assert forked.status_of(process) == -signal.SIGKILL
        assert ksm_storage.open_storage(sealed).get("clientId") == CONFIG["clientId"]


def test_storage_1_1_0_a_reader_beside_a_writer_sees_a_whole_file(sealed: Path) -> None:
    """There, up to half of the reads beside a writer saw ``{}``; here, each reads a whole file."""

    def save() -> None:
        storage = ksm_storage.open_storage(sealed)
        for number in range(40):
            storage.set("hostname", f"host{number}")

    before = sealed.read_bytes()
    writer = forked.start(save)
    while sealed.read_bytes() == before:
        os.sched_yield()
    while (last := ksm_storage.open_storage(sealed).read_storage())["hostname"] != "host39":
        assert last.keys() == CONFIG.keys()
        decode(sealed.read_bytes())
    assert forked.status_of(writer) == 0


def test_storage_1_1_0_no_save_undoes_anothers(
    sealed: Path, folder: Path, aws: Aws, official_aws: Any
) -> None:
    """There, two processes that set different keys lose half of the changes; here, each change is
    made to what lies in the file then.
    """
    path, arn = write_plain(folder / "official"), aws.new_key()
    one, two = official_aws(arn, path), official_aws(arn, path)
    one.set(ConfigKeys.KEY_HOSTNAME, NEW_HOST)
    two.set(ConfigKeys.KEY_SERVER_PUBLIC_KEY_ID, "7")
    assert official_aws(arn, path).get(ConfigKeys.KEY_HOSTNAME) == CONFIG["hostname"]

    def save(prefix: str) -> Callable[[], None]:
        def work() -> None:
            storage = ksm_storage.open_storage(sealed)
            for number in range(20):
                storage.set(f"{prefix}{number}", "x")

        return work

    writers = [forked.start(save(prefix)) for prefix in ("a", "b")]
    assert [forked.status_of(writer) for writer in writers] == [0, 0]
    assert len(ksm_storage.open_storage(sealed).read_storage()) == len(CONFIG) + 40


def test_storage_1_1_0_the_deletion_of_the_last_value_is_saved(
    folder: Path, key: str, aws: Aws, official_aws: Any
) -> None:
    """There, the last value is back after a restart; here, an empty configuration is one that was
    saved.
    """
    path, arn = write_plain(folder / "official", {"hostname": "h"}), aws.new_key()
    official_aws(arn, path).delete(ConfigKeys.KEY_HOSTNAME)
    assert official_aws(arn, path).get(ConfigKeys.KEY_HOSTNAME) == "h"

    storage = ksm_storage.open_storage(folder / "ours", keys=[key])
    storage.set("hostname", "h")
    storage.delete("hostname")
    assert ksm_storage.open_storage(folder / "ours").read_storage() == {}


def test_storage_1_1_0_a_long_configuration_has_room(
    folder: Path, aws: Aws, official_aws: Any
) -> None:
    """There, a configuration has room for 4096 bytes with AWS and 65535 elsewhere; here, the key
    service sees the DEK only.
    """
    arn = aws.new_key()
    official = official_aws(arn, folder / "official")
    with pytest.raises(Exception, match="4096"):
        official.set(ConfigKeys.KEY_HOSTNAME, "h" * 4096)

    ksm_storage.open_storage(folder / "ours", keys=[arn]).set("hostname", "h" * 70_000)
    assert ksm_storage.open_storage(folder / "ours").get("hostname") == "h" * 70_000


def test_secrets_manager_1011_what_was_handed_out_is_a_copy(sealed: Path) -> None:
    """There, ``read_storage`` handed out the live dictionary, and a change to it was neither saved
    nor seen as one; here, it is the caller's own.
    """
    storage = ksm_storage.open_storage(sealed)

    storage.read_storage()["hostname"] = NEW_HOST

    assert storage.read_storage() == CONFIG


def test_secrets_manager_1011_decrypting_writes_no_plain_file(sealed: Path, folder: Path) -> None:
    """There, ``decrypt_config`` wrote the plain configuration over the sealed file by default;
    here, an export goes to a new file or, when asked to reveal, to standard output.
    """
    before = sealed.read_bytes()

    assert run("export", str(sealed)).returncode == 2
    assert run("export", str(sealed), "--output", str(sealed)).returncode != 0
    shown = run("export", str(sealed), "--reveal")

    assert CONFIG["clientId"] in shown.stdout
    assert sealed.read_bytes() == before
    assert names_in(folder) == [sealed.name]

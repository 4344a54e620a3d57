"""A new DEK for a sealed file: the old one opens nothing any more, and no save is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.envelope.codec import decode, encode
from ksm_storage.envelope.model import Envelope
from ksm_storage.envelope.opening import is_dek_of, open_envelope
from ksm_storage.envelope.sealing import seal_again
from ksm_storage.envelope.sealing import verify_unwrap as prove_keys
from ksm_storage.errors import (
    DecryptionError,
    EnvelopeError,
    SettingsError,
    StorageError,
    UnavailableError,
)
from ksm_storage.storage import rekeying, rewrapping, snapshot
from tests.unit.storage.fixtures import CONFIG, alter_staged_copies, names_in
from tests.unit.storage.planted import Counted

ONE, TWO = "counted://one", "counted://two"


@pytest.fixture
def path(folder: Path, counted: Counted) -> Path:
    """Seal the configuration under two counted keys."""
    storage = ksm_storage.open_storage(folder / "c", keys=[ONE, TWO], context={"env": "prod"})
    storage.save_storage(CONFIG)
    counted.calls.clear()
    return folder / "c"


def test_the_old_dek_opens_the_file_no_more(path: Path) -> None:
    old = decode(path.read_bytes())
    dek = open_envelope(old).dek

    ksm_storage.rekey(path)

    new = decode(path.read_bytes())
    assert not is_dek_of(new, dek)
    assert new.header.envelope_id == old.header.envelope_id
    assert new.header.context == old.header.context
    assert new.header.message_id != old.header.message_id
    assert new.header.revision == old.header.revision + 1


def test_the_age_of_the_dek_begins_anew(path: Path) -> None:
    old = decode(path.read_bytes())
    dek = open_envelope(old).dek
    aged = old._replace(header=old.header._replace(created="2020-01-01T00:00:00Z"))
    path.write_bytes(encode(seal_again(aged, b'{"hostname": "h"}', dek=dek)))

    ksm_storage.rekey(path)

    assert decode(path.read_bytes()).header.created > "2021"


def test_each_key_wraps_anew_and_proves_it(path: Path, counted: Counted) -> None:
    done = ksm_storage.rekey(path)

    assert (done.path, done.keys, done.removed) == (str(path), (ONE, TWO), ())
    assert done.revision == decode(path.read_bytes()).header.revision == 2
    assert counted.calls == [
        ("unwrap", "one"),
        *(("wrap", "one"), ("wrap", "two")),
        *(("unwrap", "one"), ("unwrap", "two")),
    ]
    assert ksm_storage.open_storage(path, keys=[TWO]).read_storage() == CONFIG


def test_a_key_can_be_added_and_others_stay(path: Path, key: str) -> None:
    done = ksm_storage.rekey(path, add=[key])

    assert (done.keys, done.removed) == ((ONE, TWO, key), ())


def test_a_key_falls_away_only_by_name(path: Path, key: str) -> None:
    done = ksm_storage.rekey(path, add=key, remove=[ONE, TWO])

    assert (done.keys, done.removed) == ((key,), (ONE, TWO))
    assert ksm_storage.open_storage(path).read_storage() == CONFIG


def test_a_key_to_remove_must_be_a_recipient(path: Path, key: str) -> None:
    before = path.read_bytes()

    with pytest.raises(SettingsError, match=r"has no key .* to remove"):
        ksm_storage.rekey(path, remove=[key])

    assert path.read_bytes() == before


def test_a_running_application_sees_it_at_the_cost_of_one_call(
    path: Path, counted: Counted
) -> None:
    storage = ksm_storage.open_storage(path)
    ksm_storage.rekey(path)
    counted.calls.clear()

    assert storage.get("hostname") == CONFIG["hostname"]
    storage.set("hostname", "other")

    assert counted.calls == [("unwrap", "one")]


def test_a_key_that_does_not_unwrap_leaves_the_file_as_it_was(path: Path) -> None:
    before = path.read_bytes()

    with pytest.raises(UnavailableError):
        ksm_storage.rekey(path, add=["counted://down"])

    assert path.read_bytes() == before


def test_a_staged_copy_that_was_altered_on_the_medium_leaves_the_file_as_it_was(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    alter_staged_copies(monkeypatch)

    with pytest.raises((DecryptionError, EnvelopeError)):
        ksm_storage.rekey(path)

    assert path.read_bytes() == before
    assert names_in(folder) == ["c"]


def test_only_trusted_keys_open_the_file(path: Path, key: str, counted: Counted) -> None:
    with pytest.raises(DecryptionError, match="none of the trusted keys"):
        ksm_storage.rekey(path, trusted=[key])

    assert counted.calls == []


def test_the_settings_of_the_caller_reach_the_plugin_that_wraps(
    path: Path, counted: Counted
) -> None:
    with pytest.raises(SettingsError, match="'colour'"):
        ksm_storage.rekey(path, settings={TWO: {"colour": "red"}})

    # No key was asked to wrap without them before.
    assert counted.calls == [("unwrap", "one")]


def test_a_missing_file_is_told_as_it_was_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)

    with pytest.raises(StorageError, match=r"^'missing' does not exist"):
        ksm_storage.rekey("missing")


def test_the_last_key_cannot_be_removed(path: Path) -> None:
    with pytest.raises(SettingsError, match="the last key"):
        ksm_storage.rekey(path, remove=[ONE, TWO])


def test_another_context_is_refused(path: Path) -> None:
    with pytest.raises(DecryptionError):
        ksm_storage.rekey(path, context={})


def test_what_is_saved_meanwhile_is_what_is_sealed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = ksm_storage.open_storage(path)
    _meanwhile(monkeypatch, lambda: application.set("hostname", "set meanwhile"))

    ksm_storage.rekey(path)

    assert ksm_storage.open_storage(path).get("hostname") == "set meanwhile"
    assert application.get("hostname") == "set meanwhile"


def test_a_key_that_is_added_meanwhile_stays(
    path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _meanwhile(monkeypatch, lambda: ksm_storage.rewrap(path, add=[key]))

    done = ksm_storage.rekey(path)

    assert done.keys == (ONE, TWO, key)


def test_a_file_that_is_removed_meanwhile_is_not_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _meanwhile(monkeypatch, path.unlink)

    with pytest.raises(StorageError, match="another program removed"):
        ksm_storage.rekey(path)

    assert not path.exists()


def test_a_file_whose_keys_change_all_the_time_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prove(*arguments: Any) -> tuple[str, ...]:
        unproven = prove_keys(*arguments)
        ksm_storage.rewrap(path, replace={ONE: ONE})
        return unproven

    monkeypatch.setattr(rekeying, "verify_unwrap", prove)

    with pytest.raises(StorageError, match="another process keeps changing") as caught:
        ksm_storage.rekey(path)

    assert repr(str(path)) in caught.value.message


def test_a_rekey_beside_a_writer_is_never_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "seen"))
    storage, read = ksm_storage.open_storage(path), snapshot.existing_envelope

    def read_before_a_save(*arguments: Any) -> Envelope:
        found = read(*arguments)
        if found.header.revision == 1:
            storage.set("url", "meanwhile")
        return found

    monkeypatch.setattr(rekeying, "existing_envelope", read_before_a_save)

    assert ksm_storage.rekey(path).revision == 3
    assert ksm_storage.open_storage(path).get("url") == "meanwhile"


def test_a_file_that_is_removed_where_an_older_revision_was_found_is_told_by_its_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "seen"))
    older = path.read_bytes()
    ksm_storage.open_storage(path).set("hostname", "newer")
    path.write_bytes(older)
    read = snapshot.existing_envelope

    def read_after_the_removal(*arguments: Any) -> Envelope:
        path.unlink()
        return read(*arguments)

    monkeypatch.setattr(rewrapping, "existing_envelope", read_after_the_removal)

    with pytest.raises(StorageError) as caught:
        ksm_storage.rekey(path)

    assert caught.value.message == f"{str(path)!r} does not exist"


def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    honest = prove_keys

    def prove(*arguments: Any) -> tuple[str, ...]:
        unproven = honest(*arguments)
        monkeypatch.setattr(rekeying, "verify_unwrap", honest)
        act()
        return unproven

    monkeypatch.setattr(rekeying, "verify_unwrap", prove)

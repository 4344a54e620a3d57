"""A new DEK for a sealed file: the old one opens nothing any more, and no save is lost."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.envelope.codec import decode, encode
from ksm_storage.envelope.opening import is_dek_of, open_envelope
from ksm_storage.envelope.sealing import seal_again
from ksm_storage.errors import DecryptionError, SettingsError, StorageError, UnavailableError
from ksm_storage.storage import rekeying
from ksm_storage.storage.proven_wraps import prove as prove_keys
from tests.unit.storage.fixtures import CONFIG
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
    aged = old._replace(
        header=old.header._replace(created=datetime(2020, 1, 1, tzinfo=timezone.utc))
    )
    path.write_bytes(encode(seal_again(aged, b'{"hostname": "h"}', dek=dek)))

    ksm_storage.rekey(path)

    assert decode(path.read_bytes()).header.created.year > 2020


def test_each_key_wraps_anew_and_proves_it(path: Path, counted: Counted) -> None:
    done = ksm_storage.rekey(path)

    assert done.keys == (ONE, TWO)
    assert counted.calls == [
        ("unwrap", "one"),
        *(("wrap", "one"), ("wrap", "two")),
        *(("unwrap", "one"), ("unwrap", "two")),
    ]
    assert ksm_storage.open_storage(path, keys=[TWO]).read_storage() == CONFIG


def test_the_keys_can_be_others(path: Path, key: str) -> None:
    done = ksm_storage.rekey(path, keys=[key])

    assert (done.keys, done.removed) == ((key,), (ONE, TWO))
    assert ksm_storage.open_storage(path).read_storage() == CONFIG


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
        ksm_storage.rekey(path, keys=[ONE, "counted://down"])

    assert path.read_bytes() == before


def test_no_keys_are_refused(path: Path) -> None:
    with pytest.raises(SettingsError):
        ksm_storage.rekey(path, keys=[])


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

    with pytest.raises(StorageError, match="was removed"):
        ksm_storage.rekey(path)

    assert not path.exists()


def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    honest = prove_keys

    def prove(*arguments: Any) -> tuple[str, ...]:
        unproven = honest(*arguments)
        monkeypatch.setattr(rekeying, "prove", honest)
        act()
        return unproven

    monkeypatch.setattr(rekeying, "prove", prove)

"""A whole, true envelope in the place of another one: what a caller expects decides."""

from __future__ import annotations

from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.errors import DecryptionError, RollbackError
from tests.attacks.claims import the_attacker
from tests.cli.command import run
from tests.unit.storage.fixtures import CONFIG, new_key
from tests.unit.storage.planted import Counted


def made(path: Path, key: str, **context: str) -> Path:
    """Seal a configuration that names its file."""
    ksm_storage.open_storage(path, keys=[key], context=context).set("hostname", path.name)
    return path


@the_attacker("puts a file of another application in its place")
def test_another_file_of_the_same_key_is_refused_by_its_context(
    folder: Path, counted: Counted
) -> None:
    key = "counted://one"
    ours = made(folder / "ours", key, app="payments")
    theirs = made(folder / "theirs", key, app="wiki")
    counted.calls.clear()
    ours.write_bytes(theirs.read_bytes())

    with pytest.raises(DecryptionError, match="has the context app=wiki, not app=payments"):
        ksm_storage.open_storage(ours, context={"app": "payments"})
    refused = run("check", str(ours), "--context", "app=payments")

    assert counted.calls == []
    assert refused.returncode == DecryptionError.exit_code


@the_attacker("puts a file of another application in its place")
def test_a_running_application_refuses_another_file_of_the_same_key(folder: Path, key: str) -> None:
    ours = made(folder / "ours", key, app="payments")
    theirs = made(folder / "theirs", key, app="wiki")
    storage = ksm_storage.open_storage(ours, context={"app": "payments"})
    ours.write_bytes(theirs.read_bytes())

    with pytest.raises(DecryptionError, match="context"):
        storage.get("hostname")


@the_attacker("puts a file of another application in its place")
def test_another_file_of_another_key_is_refused_by_the_pinned_key(
    folder: Path, key: str, counted: Counted
) -> None:
    ours = made(folder / "ours", key)
    ours.write_bytes(made(folder / "theirs", "counted://one").read_bytes())
    counted.calls.clear()

    with pytest.raises(DecryptionError, match="none of the trusted keys"):
        ksm_storage.open_storage(ours, keys=[key])
    refused = run("get", str(ours), "hostname", "--trust", key)

    assert counted.calls == []
    assert refused.returncode == DecryptionError.exit_code


@the_attacker("puts a file of another application in its place")
def test_a_payload_moved_between_two_envelopes_is_refused(folder: Path, key: str) -> None:
    one, two = made(folder / "one", key), made(folder / "two", key)
    header = one.read_bytes().partition(b"\n\n")[0]
    one.write_bytes(header + b"\n\n" + two.read_bytes().partition(b"\n\n")[2])

    with pytest.raises(DecryptionError, match="does not open"):
        ksm_storage.open_storage(one)


@the_attacker("writes an envelope that names a key of their own")
@pytest.mark.parametrize("use", ["open", "get"])
def test_a_file_under_the_attackers_own_key_is_refused_before_any_call(
    use: str, folder: Path, key: str, counted: Counted
) -> None:
    ours = made(folder / "ours", key)
    storage = ksm_storage.open_storage(ours, keys=[key])
    ours.write_bytes(made(folder / "theirs", "counted://two").read_bytes())
    counted.calls.clear()

    with pytest.raises(DecryptionError, match="none of the trusted keys"):
        storage.get("hostname") if use == "get" else ksm_storage.open_storage(ours, keys=[key])

    assert counted.calls == []


@the_attacker("puts an older version of the same envelope back")
def test_a_version_from_before_a_key_was_removed_is_refused_where_it_was_seen(
    sealed: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_SEEN", str(tmp_path / "seen"))
    lost = new_key(folder / "lost.key")
    ksm_storage.rewrap(sealed, add=[lost])
    before = sealed.read_bytes()
    ksm_storage.rewrap(sealed, remove=[lost])
    ksm_storage.rekey(sealed)
    storage = ksm_storage.open_storage(sealed)
    sealed.write_bytes(before)

    with pytest.raises(RollbackError):
        storage.get("hostname")
    with pytest.raises(RollbackError):
        ksm_storage.open_storage(sealed)
    checked = run("check", str(sealed))

    assert checked.returncode == RollbackError.exit_code
    assert "was seen before" in checked.stderr


@the_attacker("puts an older version of the same envelope back")
def test_it_is_a_warning_where_the_user_wants_that(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KSM_STORAGE_SEEN", str(tmp_path / "seen"))
    monkeypatch.setenv("KSM_STORAGE_ROLLBACK", "warn")
    before = sealed.read_bytes()
    ksm_storage.open_storage(sealed).set("hostname", "newer")
    sealed.write_bytes(before)

    assert ksm_storage.open_storage(sealed).get("hostname") == CONFIG["hostname"]
    assert "revision 2 was seen before" in caplog.text

"""What a caller pins is checked each time an envelope is read, before any network call."""

from __future__ import annotations

from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.codec import decode, encode, wrap_aad
from ksm_storage.envelope.hedging import OpenTimeouts
from ksm_storage.envelope.opening import open_envelope
from ksm_storage.envelope.sealing import recipient_of, rekey, rewrap, seal_again
from ksm_storage.errors import (
    ContinuityError,
    DecryptionError,
    KsmStorageError,
    SettingsError,
    UnavailableError,
)
from ksm_storage.keys.kek import Kek
from ksm_storage.storage.open_policy import OpenPolicy
from tests.unit.storage.fixtures import CONFIG, write_plain
from tests.unit.storage.planted import Counted, write_unproven


@pytest.fixture
def counted_file(folder: Path, counted: Counted) -> Path:
    """Seal the configuration under a key that counts its calls, and forget those so far."""
    path = write_plain(folder / "config")
    ksm_storage.protect(path, keys=["counted://one"], context={"env": "prod"})
    counted.calls.clear()
    return path


def move_to(path: Path, key: str) -> None:
    """Give the file a new DEK under another key, as whoever can write the file may do."""
    envelope = decode(path.read_bytes())
    opened = open_envelope(envelope)
    with Kek.open(KeyUri.parse(key)) as kek:
        rekeyed, _ = rekey(envelope, opened.payload, [kek], old_dek=opened.dek)
        path.write_bytes(encode(rekeyed))


def test_an_envelope_under_another_key_is_refused_before_any_call(
    counted_file: Path, counted: Counted
) -> None:
    with pytest.raises(DecryptionError, match="none of the trusted keys"):
        ksm_storage.open_storage(counted_file, keys=["counted://two"])

    assert counted.calls == []


@pytest.mark.parametrize("context", [{}, {"env": "test"}, {"env": "prod", "more": "x"}])
def test_another_context_is_refused_before_any_call(
    context: dict[str, str], counted_file: Path, counted: Counted
) -> None:
    with pytest.raises(DecryptionError, match="context"):
        ksm_storage.open_storage(counted_file, context=context)

    assert counted.calls == []


def test_the_right_key_and_context_open_with_one_call(counted_file: Path, counted: Counted) -> None:
    storage = ksm_storage.open_storage(
        counted_file, keys=["counted://two", "counted://one"], context={"env": "prod"}
    )

    assert storage.read_storage() == CONFIG
    assert counted.calls == [("unwrap", "one")]


@pytest.mark.parametrize("use", ["get", "set"])
def test_a_file_that_moves_to_an_untrusted_key_is_refused_while_open(
    use: str, counted_file: Path, counted: Counted
) -> None:
    storage = ksm_storage.open_storage(counted_file, keys=["counted://one"])
    move_to(counted_file, "counted://two")
    moved = counted_file.read_bytes()
    counted.calls.clear()

    with pytest.raises(DecryptionError, match="none of the trusted keys"):
        storage.set("hostname", "h") if use == "set" else storage.get("hostname")

    assert counted.calls == []
    assert counted_file.read_bytes() == moved


@pytest.mark.parametrize("use", ["get", "set"])
def test_a_recipient_that_was_replaced_by_an_untrusted_one_is_noticed_under_the_same_dek(
    use: str, counted_file: Path, counted: Counted
) -> None:
    storage = ksm_storage.open_storage(counted_file, keys=["counted://one"])
    envelope = decode(counted_file.read_bytes())
    dek = open_envelope(envelope).dek
    with Kek.open(KeyUri.parse("counted://two")) as kek:
        other = recipient_of(
            "counted",
            kek.wrap(dek, aad=wrap_aad(envelope.header.envelope_id, 1, envelope.header.context)),
        )
    counted_file.write_bytes(encode(rewrap(envelope, [other], dek=dek)))
    counted.calls.clear()

    with pytest.raises(DecryptionError, match="none of the trusted keys"):
        storage.set("hostname", "h") if use == "set" else storage.get("hostname")

    assert counted.calls == []


@pytest.mark.parametrize("use", ["get", "set"])
def test_another_context_under_the_same_dek_is_noticed_while_open(
    use: str, counted_file: Path, counted: Counted
) -> None:
    storage = ksm_storage.open_storage(counted_file, context={"env": "prod"})
    envelope = decode(counted_file.read_bytes())
    opened = open_envelope(envelope)
    other = envelope._replace(header=envelope.header._replace(context={"env": "test"}))
    counted_file.write_bytes(encode(seal_again(other, opened.payload, dek=opened.dek)))
    counted.calls.clear()

    with pytest.raises(DecryptionError, match="has the context env=test, not env=prod"):
        storage.set("hostname", "h") if use == "set" else storage.get("hostname")

    assert counted.calls == []


@pytest.mark.parametrize(("timeout", "hedge"), [(2.0, None), (None, 1.0), (2.0, 1.0)])
def test_a_bound_in_time_is_the_one_that_the_caller_gave(
    timeout: float | None, hedge: float | None
) -> None:
    trust = OpenPolicy(None, None, None)

    assert trust.with_timeout(timeout, hedge) == trust._replace(
        timeouts=OpenTimeouts(timeout, hedge)
    )
    assert trust.with_timeout(None, None) is trust


def test_the_settings_of_the_caller_reach_the_plugin(counted_file: Path) -> None:
    with pytest.raises(SettingsError, match="'colour'"):
        ksm_storage.open_storage(counted_file, settings={"counted": {"colour": "red"}})


def test_the_settings_of_the_caller_reach_the_plugin_of_a_new_file(
    folder: Path, counted: Counted
) -> None:
    with pytest.raises(SettingsError, match="'colour'"):
        ksm_storage.open_storage(
            folder / "new", keys=["counted://one"], settings={"counted": {"colour": "red"}}
        )


@pytest.mark.parametrize("key", ["counted://one", KeyUri("counted", "one")], ids=["text", "uri"])
def test_one_key_needs_no_list(key: str | KeyUri) -> None:
    assert OpenPolicy.from_args(key, None, None).keys == (KeyUri("counted", "one"),)  # type: ignore[arg-type]


@pytest.mark.parametrize("new_dek", [False, True], ids=["same dek", "other dek"])
def test_a_running_application_is_told_which_file_went_back(
    new_dek: bool, counted_file: Path, counted: Counted
) -> None:
    storage = ksm_storage.open_storage(counted_file)
    before = counted_file.read_bytes()
    if new_dek:
        ksm_storage.rekey(counted_file)
    storage.set("hostname", "h")
    counted_file.write_bytes(before)

    with pytest.raises(ContinuityError) as caught:
        storage.get("hostname")

    assert caught.value.message.startswith(f"{str(counted_file)!r} does not continue")


def test_a_file_that_is_altered_costs_one_unwrap(counted_file: Path, counted: Counted) -> None:
    raw = counted_file.read_bytes()
    at = raw.rindex(b"\n", 0, len(raw) - 1) + 1
    other = b"A" if raw[at : at + 1] != b"A" else b"B"
    counted_file.write_bytes(raw[:at] + other + raw[at + 1 :])

    with pytest.raises(DecryptionError, match="does not open"):
        ksm_storage.open_storage(counted_file)

    assert counted.calls == [("unwrap", "one")]


def test_a_failure_of_one_recipient_lets_the_next_one_try(folder: Path, counted: Counted) -> None:
    path = write_plain(folder / "config")
    write_unproven(folder / "both", ["counted://down", "counted://two"], {"hostname": "h"})
    counted.calls.clear()

    assert ksm_storage.open_storage(folder / "both").get("hostname") == "h"
    assert counted.calls == [("unwrap", "down"), ("unwrap", "two")]
    assert path.exists()


def test_when_no_recipient_opens_each_cause_is_told(folder: Path, counted: Counted) -> None:
    keys = ["counted://down", "counted://wrap-only"]
    write_unproven(folder / "config", keys, {"hostname": "h"})

    with pytest.raises(UnavailableError) as caught:
        ksm_storage.open_storage(folder / "config")

    assert [cause.key for cause in caught.value.causes] == keys
    assert caught.value.retryable


def test_a_failed_unwrap_at_a_reread_leaves_the_storage_usable(
    counted_file: Path, counted: Counted
) -> None:
    storage = ksm_storage.open_storage(counted_file)
    before = counted_file.read_bytes()
    move_to(counted_file, "counted://two")
    moved = counted_file.read_bytes()
    counted.fail_with("Unavailable")

    with pytest.raises(KsmStorageError):
        storage.get("hostname")
    # The newer version was never authenticated, so the one before is no rollback.
    counted_file.write_bytes(before)
    meanwhile = storage.get("hostname")
    counted_file.write_bytes(moved)
    counted.fail_with(None)

    assert meanwhile == storage.get("hostname") == CONFIG["hostname"]

"""Other keys for a sealed file: the payload stays, and no change of others is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.codec import decode, encode
from ksm_storage.envelope.model import Envelope, Recipient
from ksm_storage.envelope.opening import open_envelope
from ksm_storage.envelope.sealing import verify_unwrap as prove_keys
from ksm_storage.errors import (
    DecryptionError,
    KeyNotFoundError,
    PermissionDeniedError,
    SettingsError,
    StorageError,
    UnavailableError,
)
from ksm_storage.keys import discovery
from ksm_storage.storage import rewrapping
from ksm_storage.storage.recipient_changes import names
from ksm_storage.storage.rewrapping import Rewrapped
from tests.unit.storage.fixtures import CONFIG, names_in, new_key
from tests.unit.storage.planted import Counted

ONE, TWO = "counted://one", "counted://two"


@pytest.fixture
def path(folder: Path, counted: Counted) -> Path:
    """Seal the configuration under one counted key."""
    storage = ksm_storage.open_storage(folder / "c", keys=[ONE])
    storage.save_storage(CONFIG)
    counted.calls.clear()
    return folder / "c"


def envelope_in(path: Path) -> Envelope:
    return decode(path.read_bytes())


def test_an_added_key_opens_the_file_alone(path: Path, counted: Counted) -> None:
    done = ksm_storage.rewrap(path, add=[TWO])

    assert (done.path, done.keys, done.unproven) == (str(path), (ONE, TWO), ())
    assert (done.added, done.removed, done.changed) == ((TWO,), (), True)
    assert done.revision == envelope_in(path).header.revision == 2
    assert ksm_storage.open_storage(path, keys=[TWO]).read_storage() == CONFIG


def test_it_costs_one_unwrap_one_wrap_and_one_proof_for_each_added_key(
    path: Path, counted: Counted
) -> None:
    ksm_storage.rewrap(path, add=[TWO])

    assert counted.calls == [("unwrap", "one"), ("wrap", "two"), ("unwrap", "two")]


def test_the_payload_stays_as_it_is(path: Path, counted: Counted) -> None:
    before = envelope_in(path)

    ksm_storage.rewrap(path, add=[TWO], remove=[ONE])

    after = envelope_in(path)
    assert after.ciphertext == before.ciphertext
    assert after.header.message_id == before.header.message_id
    assert after.header.commitment == before.header.commitment
    assert after.header.revision == before.header.revision + 1


@pytest.mark.parametrize(
    "changes",
    [{"add": [ONE]}, {"remove": [TWO]}, {"replace": {TWO: ONE}}],
    ids=["added", "removed", "replaced"],
)
def test_what_is_so_already_changes_nothing_but_is_authenticated(
    path: Path, counted: Counted, changes: dict[str, Any]
) -> None:
    before = path.read_bytes()

    done = ksm_storage.rewrap(path, **changes)

    assert not done.changed
    assert done == Rewrapped(str(path), (ONE,), (), (), (), 1)
    assert counted.calls == [("unwrap", "one")]
    assert path.read_bytes() == before


def test_the_same_change_twice_is_one(path: Path, counted: Counted) -> None:
    ksm_storage.rewrap(path, replace={ONE: TWO})
    before = path.read_bytes()

    assert not ksm_storage.rewrap(path, replace={ONE: TWO}).changed
    assert path.read_bytes() == before


def test_a_replacement_stands_where_the_old_key_stood(path: Path, folder: Path, key: str) -> None:
    ksm_storage.rewrap(path, add=[TWO])

    done = ksm_storage.rewrap(path, replace={ONE: key})

    assert done.keys == (key, TWO)
    assert done.removed == (ONE,)


def test_a_key_replaced_by_itself_is_wrapped_anew(path: Path, counted: Counted) -> None:
    before = envelope_in(path).header.recipients

    done = ksm_storage.rewrap(path, replace={ONE: ONE})

    assert (done.added, done.removed) == ((ONE,), ())
    assert envelope_in(path).header.recipients != before
    assert counted.calls == [("unwrap", "one"), ("wrap", "one"), ("unwrap", "one")]


def test_an_alias_of_a_key_that_is_there_is_found_out_by_its_key_service(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["planted_counted_plugin"]
    module.service.aliases["alias"] = "one"

    def key_covers(trusted: str, key_id: str) -> bool:
        return trusted == "alias"

    monkeypatch.setattr(module, "key_covers", _hookimpl(key_covers), raising=False)
    monkeypatch.setattr(discovery, "_plugins", {})
    before = path.read_bytes()

    done = ksm_storage.rewrap(path, add=["counted://alias"])

    assert done == Rewrapped(str(path), (ONE,), (), (), (), 1)
    assert path.read_bytes() == before
    # An alias may stand for any key, so that it removes none.
    assert not ksm_storage.rewrap(path, add=[TWO], remove=["counted://alias"]).removed


def _hookimpl(function: Callable[..., Any]) -> Callable[..., Any]:
    from ksm_storage.plugin import hookimpl

    return hookimpl(function)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({}, "no key to add"),
        ({"remove": [ONE]}, "cannot remove the last key of a file"),
        ({"add": [TWO], "remove": [TWO]}, "cannot both add and remove"),
        ({"replace": {"counted://absent": TWO}}, "it is not a recipient"),
        ({"add": ["nonsense"]}, "not a valid key URI"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused_before_any_call(
    path: Path, counted: Counted, changes: dict[str, Any], match: str
) -> None:
    before = path.read_bytes()

    with pytest.raises(SettingsError, match=match):
        ksm_storage.rewrap(path, **changes)

    assert counted.calls == []
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("key", "error"),
    [("counted://wrap-only", PermissionDeniedError), ("counted://down", UnavailableError)],
)
def test_a_key_that_does_not_unwrap_what_it_wrapped_is_not_added(
    path: Path, folder: Path, counted: Counted, key: str, error: type[Exception]
) -> None:
    before = path.read_bytes()

    with pytest.raises(error):
        ksm_storage.rewrap(path, add=[key], remove=[ONE])

    assert path.read_bytes() == before
    assert names_in(folder) == ["c"]


def test_a_key_that_unwraps_another_dek_is_not_added(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    module = sys.modules["planted_counted_plugin"]
    honest = module.CountingKek.unwrap

    def unwrap(kek: Any, wrapped: Any, *, aad: Any) -> bytes:
        return bytes(32) if wrapped.key_id == "two" else bytes(honest(kek, wrapped, aad=aad))

    monkeypatch.setattr(module.CountingKek, "unwrap", unwrap)

    with pytest.raises(DecryptionError, match="does not unwrap what it wrapped"):
        ksm_storage.rewrap(path, add=[TWO])

    assert path.read_bytes() == before


def test_a_key_that_is_gone_after_it_wrapped_is_not_added(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwrap(kek: Any, wrapped: Any, *, aad: Any) -> bytes:
        raise KeyNotFoundError("there is no such key")

    module = sys.modules["planted_counted_plugin"]
    honest = module.CountingKek.unwrap
    monkeypatch.setattr(
        module.CountingKek,
        "unwrap",
        lambda kek, wrapped, *, aad: (unwrap if wrapped.key_id == "two" else honest)(
            kek, wrapped, aad=aad
        ),
    )

    with pytest.raises(KeyNotFoundError):
        ksm_storage.rewrap(path, add=[TWO])


@pytest.mark.parametrize(
    ("key", "recorded", "meant"),
    [
        ("key-file:///a", "key-file:///a", True),
        ("key-file:///a", "os-keyring:///a/1", False),
        ("key-file:///a", "key-file:///ab", False),
        ("key-file:///a", "key-file:///a/1", False),
    ],
)
def test_a_name_means_a_key_or_its_versions(key: str, recorded: str, meant: bool) -> None:
    recipient = Recipient(KeyUri.parse(recorded), "X", b"w")

    assert names(KeyUri.parse(key), recipient) is meant


@pytest.mark.parametrize(
    ("key", "recorded", "meant"),
    [
        ("counted://k", "counted://k/1", True),
        ("counted://k/", "counted://k/1", True),
        ("counted:///k", "counted:///k/1", True),
        ("counted://kX", "counted://kX/1", True),
        ("counted://k", "counted://k1", False),
        ("counted://alias", "counted://k/1", False),
    ],
)
def test_a_name_that_stands_for_a_key_means_it_if_it_is_the_name_without_the_version(
    key: str, recorded: str, meant: bool, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key_covers(trusted: str, key_id: str) -> bool:
        return trusted == KeyUri.parse(key).key_id and key_id == KeyUri.parse(recorded).key_id

    module = sys.modules["planted_counted_plugin"]
    monkeypatch.setattr(module, "key_covers", _hookimpl(key_covers), raising=False)
    recipient = Recipient(KeyUri.parse(recorded), "X", b"w")

    assert names(KeyUri.parse(key), recipient) is meant


@pytest.mark.parametrize("added", [TWO, KeyUri("counted", "two")], ids=["text", "uri"])
def test_one_key_needs_no_list(path: Path, added: str | KeyUri) -> None:
    assert ksm_storage.rewrap(path, add=added).added == (TWO,)  # type: ignore[arg-type]
    assert ksm_storage.rewrap(path, remove=added).removed == (TWO,)  # type: ignore[arg-type]


def test_another_context_is_refused_though_nothing_is_to_change(path: Path) -> None:
    with pytest.raises(DecryptionError, match="has the context"):
        ksm_storage.rewrap(path, add=[ONE], context={"env": "prod"})


def test_the_settings_of_the_caller_reach_the_plugin_of_an_added_key(
    path: Path, counted: Counted
) -> None:
    with pytest.raises(SettingsError, match="'colour'"):
        ksm_storage.rewrap(path, add=[TWO], settings={TWO: {"colour": "red"}})

    # It was not asked to wrap without them before.
    assert counted.calls == [("unwrap", "one")]


def test_only_trusted_keys_open_the_file(path: Path, counted: Counted) -> None:
    with pytest.raises(DecryptionError, match="none of the trusted keys"):
        ksm_storage.rewrap(path, add=[TWO], trusted=[TWO])

    assert counted.calls == []


def test_another_context_is_refused(path: Path, counted: Counted) -> None:
    with pytest.raises(DecryptionError, match="has the context"):
        ksm_storage.rewrap(path, add=[TWO], context={"env": "prod"})


def test_a_missing_file_is_told_as_it_was_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)

    with pytest.raises(StorageError, match=r"^'missing' does not exist"):
        ksm_storage.rewrap("missing", add=["key-file:///k"])


def test_a_running_application_sees_other_keys_without_a_call(path: Path, counted: Counted) -> None:
    storage = ksm_storage.open_storage(path)
    ksm_storage.rewrap(path, add=[TWO], remove=[ONE])
    counted.calls.clear()

    assert storage.get("hostname") == CONFIG["hostname"]
    storage.set("hostname", "other")

    assert counted.calls == []
    assert ksm_storage.open_storage(path, keys=[TWO]).get("hostname") == "other"


SET = """
import sys, ksm_storage
ksm_storage.open_storage(sys.argv[1]).set("hostname", "set meanwhile")
"""


def test_what_another_process_sets_meanwhile_is_not_lost(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_key(tmp_path / "keys/other.key")

    # While the key services are asked, which is before the file is locked.
    _meanwhile(
        monkeypatch,
        lambda: subprocess.run([sys.executable, "-c", SET, str(sealed)], check=True, timeout=50),
    )
    done = ksm_storage.rewrap(sealed, add=[other])

    assert done.keys[1:] == (other,)
    assert ksm_storage.open_storage(sealed, keys=[other]).get("hostname") == "set meanwhile"


def test_a_key_that_another_process_adds_meanwhile_stays(
    path: Path, counted: Counted, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _meanwhile(monkeypatch, lambda: ksm_storage.rewrap(path, add=[key]))

    ksm_storage.rewrap(path, add=[TWO])

    assert {str(r.key) for r in envelope_in(path).header.recipients} == {ONE, TWO, key}


def test_a_key_that_another_process_removes_meanwhile_is_added_again(
    path: Path, counted: Counted, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ksm_storage.rewrap(path, add=[key])
    _meanwhile(monkeypatch, lambda: ksm_storage.rewrap(path, remove=[key]))

    done = ksm_storage.rewrap(path, add=[key, TWO])

    assert set(done.keys) == {ONE, TWO, key}


def test_a_staged_copy_that_does_not_open_replaces_nothing(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def damaged(envelope: Envelope, *arguments: Any, dek: bytes) -> Envelope:
        return envelope._replace(ciphertext=bytes(len(envelope.ciphertext)))

    monkeypatch.setattr(rewrapping, "rewrap_envelope", damaged)

    with pytest.raises(DecryptionError):
        ksm_storage.rewrap(path, add=[TWO])

    assert path.read_bytes() == before


def test_another_dek_meanwhile_is_wrapped_instead(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    _meanwhile(monkeypatch, lambda: ksm_storage.rekey(path))

    ksm_storage.rewrap(path, add=[TWO])

    assert ksm_storage.open_storage(path, keys=[TWO]).read_storage() == CONFIG


def test_a_file_whose_keys_change_all_the_time_is_given_up(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    _meanwhile(monkeypatch, lambda: ksm_storage.rekey(path), times=rewrapping.MAX_ATTEMPTS)

    with pytest.raises(StorageError, match="another process keeps changing") as caught:
        ksm_storage.rewrap(path, add=[TWO])

    assert repr(str(path)) in caught.value.message


def test_what_was_altered_meanwhile_gets_no_new_mac(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alter() -> None:
        envelope = envelope_in(path)
        header = envelope.header._replace(revision=77)
        path.write_bytes(encode(envelope._replace(header=header)))

    _meanwhile(monkeypatch, alter)

    with pytest.raises(DecryptionError):
        ksm_storage.rewrap(path, add=[TWO])

    assert envelope_in(path).header.revision == 77
    with pytest.raises(DecryptionError):
        open_envelope(envelope_in(path))


def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object], times: int = 1) -> None:
    """Let something happen between the calls to the key services and the lock."""
    honest = prove_keys
    left = [times]

    def prove(*arguments: Any) -> tuple[str, ...]:
        unproven = honest(*arguments)
        if left[0]:
            left[0] -= 1
            monkeypatch.setattr(rewrapping, "verify_unwrap", honest)
            act()
            monkeypatch.setattr(rewrapping, "verify_unwrap", prove)
        return unproven

    monkeypatch.setattr(rewrapping, "verify_unwrap", prove)

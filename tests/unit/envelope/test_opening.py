"""The rules R1 to R5 of docs/envelope-format.md, and who is asked in which order."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope import opening
from ksm_storage.envelope.codec import decode, encode
from ksm_storage.envelope.model import Envelope, Recipient
from ksm_storage.envelope.opening import covers, is_dek_of, open_envelope, unlock
from ksm_storage.envelope.sealing import NewDek, rewrap, seal, wrap_new_dek
from ksm_storage.errors import (
    DecryptionError,
    EnvelopeError,
    KsmStorageError,
    PermissionDeniedError,
    PluginNotFoundError,
    ProviderError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)
from ksm_storage.keys.kek import Kek
from tests.unit.envelope.key_service import KeyService, ServiceFailureError

PAYLOAD = b'{"hostname": "keepersecurity.com"}'
A, B, ALIAS = KeyUri("cloud", "a"), KeyUri("hsm", "b"), KeyUri("cloud", "alias/a")


@pytest.fixture
def new_dek(key_service: KeyService) -> NewDek:
    keks = [key_service.kek("cloud://a"), key_service.kek("hsm://b")]
    new = wrap_new_dek(keks, context={"env": "prod"})
    key_service.calls.clear()
    return new


@pytest.fixture
def envelope(new_dek: NewDek) -> Envelope:
    return seal(PAYLOAD, new_dek)


def altered(envelope: Envelope) -> dict[str, Envelope]:
    """Return what fails at each step behind the unwrap."""
    header = envelope.header
    return {
        "commitment": envelope._replace(header=header._replace(commitment=bytes(32))),
        "header MAC": envelope._replace(header=header._replace(revision=9)),
        "MAC itself": envelope._replace(header_mac=bytes(32)),
        "payload": envelope._replace(ciphertext=bytes(len(envelope.ciphertext))),
        "short payload": envelope._replace(ciphertext=bytes(3)),
    }


def test_r1_form_comes_before_everything(envelope: Envelope, key_service: KeyService) -> None:
    raw = encode(envelope).replace(b"revision: 1", b"revision: 01")

    with pytest.raises(EnvelopeError):
        open_envelope(decode(raw), trusted=[], context={"env": "other"})

    assert key_service.calls == []


@pytest.mark.parametrize(
    ("trusted", "context", "match"),
    [
        (None, {}, "not \\(none\\)"),
        (None, {"env": "test"}, "has the context env=prod, not env=test"),
        (None, {"env": "prod", "a": "b"}, "has the context"),
        ([], None, "none of the trusted keys"),
        ([KeyUri("cloud", "c")], None, "none of the trusted keys"),
        ([KeyUri("hsm", "a"), KeyUri("cloud", "b")], None, "none of the trusted keys"),
        ([KeyUri("cloud", "alias/c")], None, "none of the trusted keys"),
        ([KeyUri("absent", "a")], None, "none of the trusted keys"),
    ],
)
def test_r1_pinned_keys_and_context_are_checked_before_any_kek_is_called(
    envelope: Envelope,
    key_service: KeyService,
    trusted: list[KeyUri] | None,
    context: dict[str, str] | None,
    match: str,
) -> None:
    with pytest.raises(DecryptionError, match=match):
        open_envelope(envelope, trusted=trusted, context=context)

    assert key_service.calls == []
    assert key_service.opened == []


def test_r1_who_names_no_key_of_the_envelope_is_told_where_they_are_shown(
    envelope: Envelope,
) -> None:
    with pytest.raises(DecryptionError) as caught:
        open_envelope(envelope, trusted=[KeyUri("cloud", "c")])

    assert caught.value.hint
    assert "ksm-storage inspect" in caught.value.hint


def test_r1_a_key_covers_itself_and_what_its_plugin_says(key_service: KeyService) -> None:
    assert covers(KeyUri("absent", "a"), KeyUri("absent", "a"))
    assert covers(ALIAS, A)
    assert not covers(A, ALIAS)
    assert not covers(A, KeyUri("hsm", "a"))


def test_r1_only_a_pinned_key_is_called(envelope: Envelope, key_service: KeyService) -> None:
    opened = open_envelope(envelope, trusted=[B], context={"env": "prod"})

    assert (opened.payload, opened.recipient.key) == (PAYLOAD, B)
    assert key_service.calls == [("unwrap", "b")]


def test_r1_a_pinned_alias_is_opened_under_its_own_name(
    envelope: Envelope, key_service: KeyService
) -> None:
    opened = open_envelope(envelope, trusted=[ALIAS])

    assert opened.recipient.key == A
    assert [key_id for key_id, _ in key_service.opened] == ["alias/a"]


def test_r1_a_pinned_key_whose_plugin_is_gone_trusts_nothing(
    envelope: Envelope, monkeypatch: pytest.MonkeyPatch, key_service: KeyService
) -> None:
    monkeypatch.setattr("sys.path", [])

    with pytest.raises(DecryptionError, match="none of the trusted keys"):
        open_envelope(envelope, trusted=[ALIAS])


@pytest.mark.parametrize("what", ["commitment", "header MAC", "MAC itself", "payload"])
def test_r1_the_unwrap_comes_before_what_it_gives_the_key_for(
    envelope: Envelope, key_service: KeyService, what: str
) -> None:
    with pytest.raises(DecryptionError):
        open_envelope(altered(envelope)[what], trusted=[A])

    assert key_service.calls == [("unwrap", "a")]


def test_r1_a_payload_is_not_decrypted_before_the_header_mac_fits(
    envelope: Envelope, new_dek: NewDek, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "AESGCM", None)

    for what in ("commitment", "header MAC"):
        with pytest.raises(DecryptionError):
            unlock(altered(envelope)[what], new_dek.dek)


def recording(kind: Callable[..., Any], compared: list[bytes]) -> Callable[..., Any]:
    """Return a maker of the library's objects that notes what they are asked to verify."""

    class Recording:
        def __init__(self, *arguments: object) -> None:
            self._real = kind(*arguments)

        def verify(self, *arguments: bytes) -> None:
            compared.append(arguments[-1])
            self._real.verify(*arguments)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    return Recording


def test_r2_commitment_and_header_mac_are_compared_in_constant_time(
    envelope: Envelope, new_dek: NewDek, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []
    # The library compares in constant time where it is asked to verify, and there only.
    for name in ("HKDF", "HMAC"):
        monkeypatch.setattr(opening, name, recording(getattr(opening, name), compared))

    unlock(envelope, new_dek.dek)
    assert is_dek_of(envelope, new_dek.dek)

    commitment = envelope.header.commitment
    assert compared == [commitment, envelope.header_mac, commitment]


def test_r2_another_dek_is_not_the_one_that_is_committed_to(envelope: Envelope) -> None:
    assert not is_dek_of(envelope, os.urandom(32))


def test_r3_what_fails_behind_the_unwrap_says_one_and_the_same(
    envelope: Envelope, new_dek: NewDek
) -> None:
    said = set()
    for damaged in altered(envelope).values():
        with pytest.raises(DecryptionError) as caught:
            unlock(damaged, new_dek.dek)
        said.add(repr(caught.value.as_dict()))
    with pytest.raises(DecryptionError) as caught:
        unlock(envelope, os.urandom(32))
    said.add(repr(caught.value.as_dict()))

    assert len(said) == 1


def test_r4_a_plugin_gets_the_recipient_and_the_callers_settings_and_no_more(
    envelope: Envelope, key_service: KeyService
) -> None:
    arguments = {"cloud": {"endpoint": "http://localhost:1"}}

    open_envelope(envelope, open_kek=partial(Kek.open, arguments=arguments))

    [(key_id, settings)] = key_service.opened
    assert key_id == "a"
    assert settings.text("endpoint") == "http://localhost:1"


def test_r4_without_settings_of_the_caller_there_are_none(
    envelope: Envelope, key_service: KeyService
) -> None:
    open_envelope(envelope)

    [(_, settings)] = key_service.opened
    assert settings.text("endpoint") is None


FAILURES = [
    UnavailableError("out of reach"),
    ThrottledError("too many requests"),
    PermissionDeniedError("the caller may not use the key"),
    DecryptionError("another key"),
    SettingsError("a setting is missing"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_r5_the_next_recipient_is_tried(
    envelope: Envelope, key_service: KeyService, failure: KsmStorageError
) -> None:
    key_service.failing["a"] = failure

    assert open_envelope(envelope).recipient.key == B
    assert key_service.calls == [("unwrap", "a"), ("unwrap", "b")]


def test_r5_the_next_recipient_is_tried_where_a_plugin_is_missing(
    envelope: Envelope, new_dek: NewDek, key_service: KeyService
) -> None:
    absent = Recipient(KeyUri("absent", "k"), "X", b"w")
    mixed = rewrap(envelope, [absent, envelope.header.recipients[1]], dek=new_dek.dek)

    assert open_envelope(mixed).recipient.key == B


def test_r5_the_next_recipient_is_tried_where_one_gives_another_dek(
    envelope: Envelope, key_service: KeyService
) -> None:
    key_service.answers["a"] = bytes(32)

    assert open_envelope(envelope).recipient.key == B


def test_r5_if_none_opens_the_cause_of_each_is_reported(
    envelope: Envelope, key_service: KeyService
) -> None:
    key_service.failing = {
        "a": PermissionDeniedError("the caller may not use the key", hint="grant kms:Decrypt"),
        "b": DecryptionError("another key", hint="restore the file"),
    }

    with pytest.raises(ProviderError) as caught:
        open_envelope(envelope)

    error = caught.value
    assert str(error) == (
        "none of the 2 recipients can open the envelope: "
        "cloud://a: the caller may not use the key; hsm://b: another key"
    )
    assert error.hint == "grant kms:Decrypt; restore the file"
    assert error.causes == (key_service.failing["a"], key_service.failing["b"])
    assert error.__cause__ is error.causes[-1]
    assert not error.retryable


def test_r5_the_error_of_many_comes_from_that_of_the_last(key_service: KeyService) -> None:
    keks = [key_service.kek(f"cloud://{name}") for name in "abc"]
    envelope = seal(PAYLOAD, wrap_new_dek(keks))
    key_service.failing = {name: DecryptionError(f"not {name}") for name in "abc"}

    with pytest.raises(DecryptionError) as caught:
        open_envelope(envelope)

    assert caught.value.__cause__ is key_service.failing["c"]


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (DecryptionError("x"), DecryptionError("y"), DecryptionError),
        (PermissionDeniedError("x"), PermissionDeniedError("y"), PermissionDeniedError),
        (DecryptionError("x"), SettingsError("y"), ProviderError),
        (DecryptionError("x"), ThrottledError("y"), UnavailableError),
        (UnavailableError("x"), DecryptionError("y"), UnavailableError),
    ],
)
def test_r5_the_class_tells_whether_a_later_try_may_open_it(
    envelope: Envelope,
    key_service: KeyService,
    first: KsmStorageError,
    second: KsmStorageError,
    kind: type[KsmStorageError],
) -> None:
    key_service.failing = {"a": first, "b": second}

    with pytest.raises(kind) as caught:
        open_envelope(envelope)

    assert type(caught.value) is kind


def test_r5_the_only_recipients_error_comes_as_it_is_with_its_own_cause(
    envelope: Envelope, key_service: KeyService
) -> None:
    failure = key_service.failing["a"] = PermissionDeniedError("no")

    with pytest.raises(PermissionDeniedError) as caught:
        open_envelope(envelope, trusted=[A])

    assert caught.value is failure
    assert isinstance(failure.__cause__, ServiceFailureError)
    assert failure.key == "cloud://a"
    assert failure.causes == ()


def test_r5_a_missing_plugin_is_told_with_the_key_that_needs_it(
    envelope: Envelope, new_dek: NewDek
) -> None:
    absent = Recipient(KeyUri("absent", "k"), "X", b"w")

    with pytest.raises(PluginNotFoundError) as caught:
        open_envelope(rewrap(envelope, [absent], dek=new_dek.dek))

    assert caught.value.key == "absent://k"


def test_a_pinned_key_whose_plugin_is_missing_is_no_untrusted_key(
    envelope: Envelope, new_dek: NewDek
) -> None:
    absent = Recipient(KeyUri("absent", "k"), "X", b"w")

    with pytest.raises(PluginNotFoundError):
        open_envelope(rewrap(envelope, [absent], dek=new_dek.dek), trusted=[absent.key])


def test_r5_a_local_recipient_is_tried_first(tmp_path: Path, key_service: KeyService) -> None:
    path = tmp_path / "app.key"
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    local = KeyUri("key-file", path.as_posix())
    with Kek.open(local) as key_file:
        envelope = seal(PAYLOAD, wrap_new_dek([key_service.kek("cloud://a"), key_file]))
    key_service.calls.clear()

    opened = open_envelope(envelope)

    assert opened.recipient.key == local
    assert key_service.calls == []


def test_r5_otherwise_the_order_is_the_files(envelope: Envelope, key_service: KeyService) -> None:
    open_envelope(envelope)

    assert key_service.calls == [("unwrap", "a")]


def test_what_was_opened_is_not_shown(envelope: Envelope) -> None:
    opened = open_envelope(envelope)

    assert "keepersecurity" not in repr(opened)
    assert repr(opened.dek) not in repr(opened)

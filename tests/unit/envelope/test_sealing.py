"""The rules M1 to M3 of docs/envelope-format.md, and what a writer refuses to write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ksm_storage.envelope.codec import decode, encode
from ksm_storage.envelope.model import MAX_PAYLOAD_BYTES, MAX_REVISION, Envelope, Recipient
from ksm_storage.envelope.opening import open_envelope, unlock
from ksm_storage.envelope.sealing import (
    NewDek,
    current_time,
    rekey,
    rewrap,
    seal,
    seal_again,
    wrap_new_dek,
)
from ksm_storage.errors import EnvelopeError, SettingsError
from tests.unit.envelope.key_service import KeyService

PAYLOAD, CHANGED = b'{"hostname": "a"}', b'{"hostname": "b"}'
EARLIER = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 6, 1, tzinfo=UTC)
EARLIER_TEXT, LATER_TEXT = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"


@pytest.fixture
def new_dek(key_service: KeyService) -> NewDek:
    keks = [key_service.kek("cloud://a"), key_service.kek("hsm://b")]
    return wrap_new_dek(keks, context={"team": "payments", "env": "prod"})


@pytest.fixture
def envelope(new_dek: NewDek, key_service: KeyService) -> Envelope:
    key_service.calls.clear()
    return seal(PAYLOAD, new_dek, now=EARLIER)


def test_a_new_envelope_is_read_as_it_was_sealed(envelope: Envelope) -> None:
    header = envelope.header

    assert decode(encode(envelope)) == envelope
    assert (header.created, header.sealed, header.revision) == (EARLIER_TEXT, EARLIER_TEXT, 1)
    assert list(header.context.items()) == [("env", "prod"), ("team", "payments")]


def test_two_envelopes_share_neither_dek_nor_id(key_service: KeyService) -> None:
    first, second = (wrap_new_dek([key_service.kek("cloud://a")]) for _ in range(2))

    assert first.dek != second.dek
    assert first.envelope_id != second.envelope_id
    assert len(first.envelope_id) == 16


def test_m1_a_save_changes_what_it_must_and_nothing_else(
    envelope: Envelope, new_dek: NewDek, key_service: KeyService
) -> None:
    saved = seal_again(envelope, CHANGED, dek=new_dek.dek, now=LATER)

    before, after = envelope.header, saved.header
    changed = {"sealed", "revision", "message_id", "commitment"}
    same = set(before._fields) - changed
    assert all(getattr(before, name) == getattr(after, name) for name in same)
    assert all(getattr(before, name) != getattr(after, name) for name in changed)
    assert (after.sealed, after.revision) == (LATER_TEXT, 2)
    assert unlock(saved, new_dek.dek) == CHANGED
    assert key_service.calls == []


def test_m1_saving_the_same_payload_draws_a_new_message_id_too(
    envelope: Envelope, new_dek: NewDek
) -> None:
    saved = seal_again(envelope, PAYLOAD, dek=new_dek.dek)

    assert saved.header.message_id != envelope.header.message_id


def test_m2_a_rewrap_changes_recipients_and_revision_only(
    envelope: Envelope, new_dek: NewDek, key_service: KeyService
) -> None:
    kept = envelope.header.recipients[1:]

    rewrapped = rewrap(envelope, kept, dek=new_dek.dek)

    assert rewrapped.header == envelope.header._replace(revision=2, recipients=kept)
    assert rewrapped.ciphertext == envelope.ciphertext
    assert decode(encode(rewrapped)) == rewrapped
    assert open_envelope(rewrapped).payload == PAYLOAD


def test_m3_a_rekey_changes_the_dek_and_keeps_the_envelope(
    envelope: Envelope, new_dek: NewDek, key_service: KeyService
) -> None:
    rekeyed, dek = rekey(
        envelope, PAYLOAD, [key_service.kek("cloud://a")], old_dek=new_dek.dek, now=LATER
    )

    before, after = envelope.header, rekeyed.header
    assert dek != new_dek.dek
    assert (after.envelope_id, after.context) == (before.envelope_id, before.context)
    assert (after.created, after.sealed, after.revision) == (LATER_TEXT, LATER_TEXT, 2)
    assert after.recipients[0].ciphertext != before.recipients[0].ciphertext
    assert rekeyed.ciphertext != envelope.ciphertext
    opened = open_envelope(rekeyed)
    assert (opened.dek, opened.payload) == (dek, PAYLOAD)
    assert [operation for operation, _ in key_service.calls] == ["wrap", "unwrap"]


def test_a_time_is_written_in_whole_seconds_of_utc() -> None:
    now = current_time()

    assert now.utcoffset() == UTC.utcoffset(None)
    assert now.microsecond == 0


def test_a_revision_grows_no_further_than_a_reader_reads(
    envelope: Envelope, new_dek: NewDek
) -> None:
    last = envelope._replace(header=envelope.header._replace(revision=MAX_REVISION - 1))

    full = seal_again(last, PAYLOAD, dek=new_dek.dek)

    assert decode(encode(full)).header.revision == MAX_REVISION
    with pytest.raises(EnvelopeError, match="has reached its maximum"):
        seal_again(full, PAYLOAD, dek=new_dek.dek)
    with pytest.raises(EnvelopeError, match="has reached its maximum"):
        rewrap(full, full.header.recipients, dek=new_dek.dek)
    with pytest.raises(EnvelopeError, match="has reached its maximum"):
        rekey(full, PAYLOAD, [], old_dek=bytes(32))


def test_a_payload_that_no_reader_would_accept_is_not_sealed(new_dek: NewDek) -> None:
    full = seal(b"x" * MAX_PAYLOAD_BYTES, new_dek)

    assert decode(encode(full)) == full
    with pytest.raises(EnvelopeError, match="larger than 1048576 bytes") as caught:
        seal(b"x" * (MAX_PAYLOAD_BYTES + 1), new_dek)
    assert caught.value.hint


def test_as_many_keys_as_a_reader_reads_are_wrapped_under(key_service: KeyService) -> None:
    new = wrap_new_dek([key_service.kek(f"cloud://{number}") for number in range(16)])

    assert len(decode(encode(seal(PAYLOAD, new))).header.recipients) == 16


@pytest.mark.parametrize("count", [0, 17])
def test_no_kek_is_called_where_there_are_none_or_too_many(
    key_service: KeyService, count: int
) -> None:
    keks = [key_service.kek(f"cloud://{number}") for number in range(count)]

    with pytest.raises(SettingsError, match=f"1 to 16 keys, not {count}"):
        wrap_new_dek(keks)

    assert key_service.calls == []


def test_an_envelope_is_not_left_with_no_or_too_many_recipients(
    envelope: Envelope, new_dek: NewDek
) -> None:
    recipient = envelope.header.recipients[0]
    many = [recipient._replace(algorithm=f"{number}") for number in range(17)]

    for recipients in ([], many):
        with pytest.raises(SettingsError, match="1 to 16 keys"):
            rewrap(envelope, recipients, dek=new_dek.dek)


def test_one_kek_given_twice_is_refused(
    envelope: Envelope, new_dek: NewDek, key_service: KeyService
) -> None:
    kek = key_service.kek("cloud://a")
    first = envelope.header.recipients[0]
    again = Recipient(first.key, "OTHER", b"other")

    with pytest.raises(SettingsError, match="are the same key"):
        wrap_new_dek([kek, kek])
    with pytest.raises(SettingsError, match="are the same key"):
        rewrap(envelope, [first, again], dek=new_dek.dek)


@pytest.mark.parametrize(
    "context",
    [
        pytest.param({"": "v"}, id="empty name"),
        pytest.param({"a": ""}, id="empty value"),
        pytest.param({"a": " v"}, id="space first"),
        pytest.param({"a": "v\n"}, id="line end"),
        pytest.param({"a": "\u00fc"}, id="no ASCII"),
        pytest.param({"a b": "v"}, id="space in name"),
        pytest.param({"a=b": "v"}, id="equals sign in name"),
        pytest.param({"ksm-storage.format": "v"}, id="reserved name"),
        pytest.param({"n" * 65: "v"}, id="long name"),
        pytest.param({"a": "v" * 257}, id="long value"),
        pytest.param({f"{number}": "v" for number in range(17)}, id="many"),
        pytest.param({f"{number:064}": "v" * 200 for number in range(4)}, id="much"),
        pytest.param({"a": 1}, id="number as value"),
        pytest.param({1: "a"}, id="number as name"),
    ],
)
def test_a_context_that_no_reader_would_accept_is_refused_before_any_call(
    key_service: KeyService, context: dict[str, str]
) -> None:
    with pytest.raises(SettingsError, match=r"^the context (must map|has an|has more|is longer)"):
        wrap_new_dek([key_service.kek("cloud://a")], context=context)

    assert key_service.calls == []


def test_who_gives_a_context_that_is_not_allowed_is_told_what_is(key_service: KeyService) -> None:
    with pytest.raises(SettingsError) as caught:
        wrap_new_dek([key_service.kek("cloud://a")], context={"a b": "v"})

    assert caught.value.hint
    assert "no 'ksm-storage.' at the start" in caught.value.hint
    assert "printable ASCII, at most 256" in caught.value.hint


def test_a_context_that_the_caller_changes_later_stays_as_it_was(key_service: KeyService) -> None:
    context = {"env": "prod"}
    new = wrap_new_dek([key_service.kek("cloud://a")], context=context)

    context["env"] = "test"

    assert dict(new.context) == {"env": "prod"}


def test_a_new_dek_is_not_shown(new_dek: NewDek) -> None:
    assert repr(new_dek.dek) not in repr(new_dek)

"""The rules S1 to S6 and W1 to W3 of docs/envelope-format.md."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import replace

import pytest
from aws_encryption_sdk.internal.formatting.encryption_context import serialize_encryption_context
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage.contract.key_wrapper import Aad
from ksm_storage.envelope.codec import decode, encode, wrap_aad
from ksm_storage.envelope.model import Envelope
from ksm_storage.envelope.opening import derive_keys, open_envelope, unlock
from ksm_storage.envelope.sealing import NewDek, rewrap, seal, seal_again, wrap_new_dek
from ksm_storage.errors import DecryptionError
from tests.unit.envelope.key_service import KeyService
from tests.vectors.draft import Draft

PAYLOAD = b'{"hostname": "keepersecurity.com"}'
CONTEXT = {"team": "payments", "env": "prod"}


@pytest.fixture
def new_dek(key_service: KeyService) -> NewDek:
    return wrap_new_dek([key_service.kek("cloud://a"), key_service.kek("hsm://b")], context=CONTEXT)


@pytest.fixture
def envelope(new_dek: NewDek) -> Envelope:
    return seal(PAYLOAD, new_dek)


def mac_range(raw: bytes) -> bytes:
    return raw[: raw.index(b"header-mac: ")]


def core_of(raw: bytes) -> bytes:
    names = (
        *(b"ksm-storage ", b"suite: ", b"envelope-id: ", b"generation: "),
        *(b"context: ", b"message-id: "),
    )
    return b"".join(line for line in mac_range(raw).splitlines(True) if line.startswith(names))


def test_s1_a_dek_is_32_bytes_when_it_is_made(new_dek: NewDek) -> None:
    assert len(new_dek.dek) == 32


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_s1_a_dek_of_another_length_does_not_open(
    envelope: Envelope, key_service: KeyService, length: int
) -> None:
    key_service.answers = {"a": bytes(length), "b": bytes(length)}

    with pytest.raises(DecryptionError, match="not 32"):
        open_envelope(envelope)


def test_s2_the_keys_are_those_of_hkdf_written_out_by_hand() -> None:
    dek, message_id = os.urandom(32), os.urandom(32)
    extracted = hmac.new(message_id, dek, hashlib.sha512).digest()

    keys = derive_keys(dek, message_id)

    def expanded(info: bytes) -> bytes:
        return hmac.new(extracted, info + b"\x01", hashlib.sha512).digest()[:32]

    assert keys.payload_key == expanded(b"\x04\x78DERIVEKEY")
    assert keys.commitment == expanded(b"COMMITKEY")
    assert keys.header_mac_key == expanded(b"ksm-storage header mac v1")


def test_s3_the_header_mac_covers_all_bytes_before_its_line(
    envelope: Envelope, new_dek: NewDek
) -> None:
    key = derive_keys(new_dek.dek, envelope.header.message_id).header_mac_key
    covered = mac_range(encode(envelope))

    assert covered.endswith(b"=\n")
    assert hmac.new(key, covered, hashlib.sha256).digest() == envelope.header_mac


def test_s4_and_s5_the_payload_opens_with_the_immutable_core_and_a_zero_nonce(
    envelope: Envelope, new_dek: NewDek
) -> None:
    key = derive_keys(new_dek.dek, envelope.header.message_id).payload_key

    plain = AESGCM(key).decrypt(bytes(12), envelope.ciphertext, core_of(encode(envelope)))

    assert plain == PAYLOAD
    assert len(envelope.ciphertext) == len(PAYLOAD) + 16


def test_s4_no_other_nonce_opens_it(envelope: Envelope, new_dek: NewDek) -> None:
    key = derive_keys(new_dek.dek, envelope.header.message_id).payload_key

    with pytest.raises(InvalidTag):
        AESGCM(key).decrypt(bytes(11) + b"\1", envelope.ciphertext, core_of(encode(envelope)))


@pytest.mark.parametrize(
    "draft",
    [
        Draft().with_line("envelope-id", "0" * 32),
        Draft().with_context("env=test"),
        Draft().with_context(),
    ],
    ids=["envelope-id", "context", "no context"],
)
def test_s5_the_core_binds_the_payload_even_under_a_fitting_header_mac(draft: Draft) -> None:
    grafted = decode(replace(draft, body="").with_sealed(Draft().sealed_bytes()).to_bytes())

    with pytest.raises(DecryptionError, match="does not open"):
        unlock(grafted, draft.dek)


def test_s5_the_times_the_revision_and_the_recipients_are_not_in_the_core() -> None:
    other = Draft().with_line("revision", "8").with_line("sealed", "2030-01-01T00:00:00Z")
    other = other.with_recipients(Draft().lines[9:12])
    moved = other.with_sealed(Draft().sealed_bytes())

    assert unlock(decode(moved.to_bytes()), moved.dek) == moved.payload


def test_s6_every_sealing_draws_a_new_message_id(envelope: Envelope, new_dek: NewDek) -> None:
    sealed = [envelope]
    for _ in range(20):
        sealed.append(seal_again(sealed[-1], PAYLOAD, dek=new_dek.dek))

    assert len({e.header.message_id for e in sealed}) == 21
    assert len({e.ciphertext for e in sealed}) == 21
    assert {len(e.header.message_id) for e in sealed} == {32}


def test_w1_a_dek_is_wrapped_and_unwrapped_with_the_aad_of_the_envelope(
    envelope: Envelope, key_service: KeyService
) -> None:
    expected = {
        "ksm-storage.format": "envelope v1",
        "ksm-storage.purpose": "wrap-dek",
        "ksm-storage.envelope-id": envelope.header.envelope_id.hex(),
        "ksm-storage.generation": "1",
        "env": "prod",
        "team": "payments",
    }

    open_envelope(envelope)

    assert [operation for operation, _ in key_service.calls] == ["wrap", "wrap", "unwrap"]
    assert [dict(aad) for aad in key_service.aads] == [expected] * 3


def test_w1_a_context_cannot_replace_a_pair_of_ours() -> None:
    forged = {"ksm-storage.purpose": "other", "ksm-storage.envelope-id": "0"}

    assert dict(wrap_aad(bytes(16), 1, forged)) == dict(wrap_aad(bytes(16), 1, {}))


@pytest.mark.parametrize(
    "pairs", [{}, {"b": "2", "a": "1"}, {"a": "", "ab": "=", "a.": "x" * 256}, dict(CONTEXT)]
)
def test_w2_the_bytes_of_an_aad_are_those_of_the_package_that_we_follow(
    pairs: dict[str, str],
) -> None:
    # An empty map is no bytes there; ours always has its three pairs.
    expected = serialize_encryption_context(pairs) or b"\0\0"

    assert bytes(Aad(pairs)) == expected


def test_w2_the_bytes_are_the_documented_ones() -> None:
    assert bytes(Aad({"b": "xyz", "a": ""})) == b"\0\2" + b"\0\1a\0\0" + b"\0\1b\0\3xyz"


def test_w3_without_an_aad_at_the_service_the_header_mac_binds_the_recipient(
    key_service: KeyService, new_dek: NewDek
) -> None:
    # The service returns the DEK whatever the AAD and the ciphertext are.
    key_service.answers = {"a": new_dek.dek}
    envelope = seal(PAYLOAD, new_dek)
    moved = rewrap(envelope, envelope.header.recipients[:1], dek=new_dek.dek)

    assert open_envelope(moved).payload == PAYLOAD
    forged = moved._replace(header_mac=envelope.header_mac)
    with pytest.raises(DecryptionError, match="does not open"):
        open_envelope(forged)

"""The wire format against itself, against damage and against the official package."""

from __future__ import annotations

from typing import Any

import pytest
from keeper_secrets_manager_core.crypto import CryptoUtils  # type: ignore[import-untyped, unused-ignore]

from ksm_storage.errors import DecryptionError
from ksm_storage.wire import aes, base64_forms, keys
from ksm_storage.wire.signed_request import make_request, read_request, signer, verify

KEY = bytes(range(32))
TEXT = "a record with umlauts: äöü".encode()


def test_the_official_package_opens_our_gcm_and_we_open_its() -> None:
    assert CryptoUtils.decrypt_aes(aes.gcm_seal(KEY, TEXT), KEY) == TEXT
    assert aes.gcm_open(KEY, CryptoUtils.encrypt_aes(TEXT, KEY)) == TEXT


def test_the_official_package_opens_our_cbc_and_we_open_its() -> None:
    assert CryptoUtils.decrypt_aes_cbc(aes.cbc_seal(KEY, TEXT), KEY) == TEXT
    assert aes.cbc_open(KEY, CryptoUtils.encrypt_aes_cbc(TEXT, KEY)) == TEXT


def test_the_official_package_opens_our_ecies_and_we_open_its() -> None:
    private_key = keys.new_private_key()
    point = keys.public_point_of(private_key)

    assert CryptoUtils.decrypt_ec(private_key, keys.ecies_seal(point, KEY)) == KEY
    assert keys.ecies_open(private_key, CryptoUtils.public_encrypt(KEY, point)) == KEY


def test_a_sealed_32_byte_key_has_125_bytes() -> None:
    point = keys.public_point_of(keys.new_private_key())

    assert len(keys.ecies_seal(point, KEY)) == 125


@pytest.mark.parametrize("position", [0, 12, -1])
def test_altered_gcm_is_a_decryption_error(position: int) -> None:
    sealed = bytearray(aes.gcm_seal(KEY, TEXT))
    sealed[position] ^= 1

    with pytest.raises(DecryptionError):
        aes.gcm_open(KEY, bytes(sealed))


@pytest.mark.parametrize("length", [0, 11, 27])
def test_a_gcm_message_that_is_too_short_is_a_decryption_error(length: int) -> None:
    with pytest.raises(DecryptionError, match="too few"):
        aes.gcm_open(KEY, bytes(length))


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_cbc_message_of_an_impossible_length_is_a_decryption_error(length: int) -> None:
    with pytest.raises(DecryptionError, match="cannot be"):
        aes.cbc_open(KEY, bytes(length))


def test_cbc_with_wrong_padding_is_a_decryption_error() -> None:
    with pytest.raises(DecryptionError, match="altered"):
        aes.cbc_open(KEY, bytes(32))


@pytest.mark.parametrize("length", [16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(DecryptionError, match="32 bytes"):
        aes.GcmKey(bytes(length))


@pytest.mark.parametrize("point", [b"", bytes(65), b"\x04" + bytes(64), b"\x02" + bytes(32)])
def test_what_is_no_point_is_refused(point: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        keys.load_public_point(point)
    with pytest.raises(DecryptionError):
        keys.ecies_open(keys.new_private_key(), point + bytes(60))


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xfb\xff", b"\xfb\xff\xbf", bytes(range(65))])
def test_every_form_of_base64_is_read(data: bytes) -> None:
    standard, url_safe = base64_forms.to_base64(data), base64_forms.to_url_safe(data)

    assert base64_forms.from_base64(standard) == data
    assert base64_forms.from_base64(url_safe) == data
    assert base64_forms.from_base64(standard.rstrip("=")) == data
    assert base64_forms.from_base64(standard.replace("+", "-").replace("/", "_")) == data


@pytest.mark.parametrize("text", ["a", "abcde", "ab cd", "ab!d", "ab==cd==", "äbcd", "abc\nabcd"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        base64_forms.from_base64(text)


@pytest.mark.parametrize("value", [None, 5, ["YWJj"], {}])
def test_what_is_no_text_is_no_base64(value: Any) -> None:
    with pytest.raises(ValueError, match="base64"):
        base64_forms.from_base64(value)


def test_a_uid_has_22_characters_and_no_leading_dash() -> None:
    uids = [base64_forms.new_uid() for _ in range(500)]

    assert {len(uid) for uid in uids} == {22}
    assert not any(uid.startswith("-") for uid in uids)


def test_the_client_id_is_the_published_hmac() -> None:
    # Computed once with: openssl dgst -sha512 -mac HMAC -macopt hexkey:0001...1f
    assert keys.client_id_from_token(KEY) == (
        "HDWtY7+/cWpJ86C1KBh6DgWY4ovDJBrjliUeY7fvzOEVISYTHNlkqkoyz0IHQrqO0GLFvBPnFb6JvPOzemsZEg=="
    )


def test_a_private_key_survives_its_text() -> None:
    key = keys.new_private_key()

    again = keys.private_key_from_text(keys.private_key_to_text(key))

    assert keys.public_point_of(again) == keys.public_point_of(key)


@pytest.mark.parametrize("part", ["key", "body", "signature"])
def test_a_signature_covers_the_transmission_key_and_the_body(part: str) -> None:
    private_key = keys.new_private_key()
    parts = {"key": b"k" * 125, "body": b"body"}
    made = signer(private_key)(parts["key"] + parts["body"])
    public = private_key.public_key()
    assert verify(public, made, transmission_key=parts["key"], body=parts["body"])

    if part == "signature":
        made = signer(private_key)(b"other")
    else:
        parts[part] = b"altered"

    assert not verify(public, made, transmission_key=parts["key"], body=parts["body"])


def test_a_request_is_read_as_it_was_made() -> None:
    client, server = keys.new_private_key(), keys.new_private_key()

    request, key = make_request(
        TEXT,
        sign=signer(client),
        server_public_key=keys.public_point_of(server),
        public_key_id="10",
    )
    arrived = read_request(request.headers(), request.body)

    assert arrived == request
    assert keys.ecies_open(server, arrived.transmission_key) == key
    assert aes.gcm_open(key, arrived.body) == TEXT
    assert verify(
        client.public_key(),
        arrived.signature,
        transmission_key=arrived.transmission_key,
        body=arrived.body,
    )


@pytest.mark.parametrize("missing", ["PublicKeyId", "TransmissionKey", "Authorization"])
def test_a_request_without_a_header_is_refused(missing: str) -> None:
    headers = {"PublicKeyId": "1", "TransmissionKey": "YWI=", "Authorization": "Signature YWI="}
    del headers[missing]

    with pytest.raises(ValueError, match="header"):
        read_request(headers, b"")


def test_a_request_with_another_authorization_is_refused() -> None:
    headers = {"PublicKeyId": "1", "TransmissionKey": "YWI=", "Authorization": "Bearer YWI="}

    with pytest.raises(ValueError, match="signature"):
        read_request(headers, b"")

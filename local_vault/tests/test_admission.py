"""Who may ask: client id, signature, transmission key, address, token, life, and never twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ksm_storage_local_vault.owner.access import add_client, revoke_client
from ksm_storage_local_vault.owner.session import OwnerSession, owner_session
from ksm_storage_local_vault.server_settings import ThrottleRule
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, SampleContent

from ksm_storage.wire import api_errors
from ksm_storage.wire.aes import gcm_open, gcm_seal
from ksm_storage.wire.base64_forms import from_base64, new_uid, to_base64
from ksm_storage.wire.keys import new_private_key
from ksm_storage.wire.signed_request import SignedRequest, make_request, signer

from .device import Device

PUBLIC_KEY_OF_ANOTHER_CURVE = to_base64(b"\x04" + b"\x01" * 64)


@pytest.fixture
def device(vault: LocalVault, filled: SampleContent) -> Device:
    """Return a bound device of the module's vault."""
    return Device.bound(vault)


@pytest.fixture
def unbound(vault: LocalVault, filled: SampleContent) -> Device:
    """Return a device that holds a fresh token."""
    return Device.of(vault, vault.new_client())


def test_a_client_that_nobody_made_is_unknown(vault: LocalVault, filled: SampleContent) -> None:
    stranger = Device(vault, b"s" * 32)

    reply = stranger.rejected("get_secret", publicKey=stranger.public_key)

    assert (reply.status, reply.message) == (403, api_errors.CLIENT_UNKNOWN.message)


def test_a_refusal_has_the_shape_of_the_service(vault: LocalVault, filled: SampleContent) -> None:
    body = Device(vault, b"s" * 32).rejected("get_secret").refusal

    assert body["path"] == f"https://{vault.address}/api/rest/sm/v1/get_secret, POST"
    assert body["error"] == body["result_code"] == "access_denied"
    assert {"additional_info", "location", "message"} <= set(body)


def test_another_private_key_is_a_wrong_signature(device: Device) -> None:
    thief = dataclasses.replace(device, private_key=new_private_key())

    assert thief.rejected("get_secret").message == api_errors.SIGNATURE_INVALID.message


@pytest.mark.parametrize("part", ["transmission_key", "body", "signature"])
def test_an_altered_byte_anywhere_is_refused(device: Device, part: str) -> None:
    signed, _ = device.sign({})
    sent = bytearray(getattr(signed, part))
    sent[-1] ^= 1
    altered: dict[str, Any] = {part: bytes(sent)}

    reply = device.send("get_secret", dataclasses.replace(signed, **altered))

    assert reply.status in (400, 403)


def test_a_signature_of_another_body_is_refused(device: Device) -> None:
    # Both bodies open with the same transmission key, so that only the signature is wrong.
    signed, key = device.sign({"requestedRecords": []})
    other = dataclasses.replace(signed, body=gcm_seal(key, gcm_open(key, signed.body)))

    assert device.send("get_secret", other).message == api_errors.SIGNATURE_INVALID.message


def test_a_binding_device_must_own_the_key_it_presents(unbound: Device) -> None:
    reply = unbound.rejected("get_secret", publicKey=Device(unbound.vault, b"x").public_key)

    assert reply.message == api_errors.SIGNATURE_INVALID.message


@pytest.mark.parametrize("path", ["get_secret", "get_folders", "create_secret"])
def test_an_unbound_device_gets_nothing(unbound: Device, path: str) -> None:
    assert unbound.rejected(path).message == api_errors.CLIENT_UNKNOWN.message


def test_a_device_binds_with_get_secret_only(unbound: Device) -> None:
    assert unbound.rejected("get_folders", publicKey=unbound.public_key).status == 400
    assert unbound.bind()["encryptedAppKey"]


def test_a_token_binds_once(unbound: Device) -> None:
    unbound.bind()
    second = dataclasses.replace(unbound, private_key=new_private_key())

    reply = second.rejected("get_secret", publicKey=second.public_key)

    assert reply.message == api_errors.TOKEN_REDEEMED.message


def test_a_device_that_died_while_binding_binds_again(unbound: Device) -> None:
    first = unbound.bind()["encryptedAppKey"]

    assert unbound.bind()["encryptedAppKey"] == first


def test_a_device_that_has_its_key_does_not_bind_again(unbound: Device) -> None:
    unbound.bind()
    unbound.ask("get_secret")

    reply = unbound.rejected("get_secret", publicKey=unbound.public_key)

    assert reply.message == api_errors.TOKEN_REDEEMED.message


def test_a_token_has_an_end(vault: LocalVault, filled: SampleContent) -> None:
    with owner_session(vault.data, vault.owner_file, clock=lambda: 1_000) as owner:
        late = Device.of(vault, add_client(owner, app=APP_NAME))

    reply = late.rejected("get_secret", publicKey=late.public_key)

    assert reply.message == api_errors.TOKEN_EXPIRED.message


def test_access_has_an_end(vault: LocalVault, filled: SampleContent) -> None:
    with owner_session(vault.data, vault.owner_file, clock=lambda: 1_000) as owner:
        late = Device.of(vault, add_client(owner, app=APP_NAME, access_seconds=60.0))

    reply = late.rejected("get_secret", publicKey=late.public_key)

    assert reply.message == api_errors.ACCESS_EXPIRED.message


def test_a_device_is_locked_to_its_first_address(device: Device) -> None:
    device.source = "127.0.0.2"

    assert device.rejected("get_secret").message == api_errors.ADDRESS_REFUSED.message


def test_an_unlocked_device_may_move(vault: LocalVault, filled: SampleContent) -> None:
    device = Device.bound(vault, unlock_ip=True)
    device.source = "127.0.0.2"

    assert device.ask("get_secret")["records"]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_no_header_chooses_the_address(unbound: Device, header: str) -> None:
    # Asked from the address that web servers trust to forward for others.
    unbound.source = "127.0.0.2"
    unbound.bind()
    unbound.source = "127.0.0.1"
    signed, _ = unbound.sign({})

    reply = unbound.send("get_secret", signed, {header: "127.0.0.2"})

    assert reply.message == api_errors.ADDRESS_REFUSED.message


def test_a_revoked_device_is_refused_at_once(vault: LocalVault, device: Device) -> None:
    with vault.owner() as owner:
        revoke_client(owner, device.client_id)

    assert device.rejected("get_secret").message == api_errors.CLIENT_REVOKED.message


def test_a_revoked_token_does_not_bind(vault: LocalVault, unbound: Device) -> None:
    with vault.owner() as owner:
        revoke_client(owner, unbound.client_id)

    reply = unbound.rejected("get_secret", publicKey=unbound.public_key)

    assert reply.message == api_errors.CLIENT_REVOKED.message


@pytest.mark.parametrize("path", ["get_secret", "delete_secret"])
def test_a_request_is_taken_once(device: Device, path: str) -> None:
    signed, _ = device.sign({"recordUids": [new_uid()]})
    first = device.send(path, signed)

    again = device.send(path, signed)

    assert first.status == 200
    assert (again.status, again.message) == (403, "Request was received before")


def test_a_write_is_taken_once_even_over_a_restart(own_vault: LocalVault) -> None:
    device = Device.bound(own_vault)
    signed, _ = device.sign({"recordUids": [new_uid()]})
    device.send("delete_secret", signed)
    own_vault.kill()
    own_vault.start()

    assert device.send("delete_secret", signed).message == "Request was received before"


@pytest.mark.parametrize(
    "version", ["", "17.3.0", "mp15.0.0", "mp17", "python-requests", "mp17.3.0 and more"]
)
def test_a_strange_client_version_is_refused(device: Device, version: str) -> None:
    reply = device.rejected("get_secret", clientVersion=version)

    assert reply.status in (400, 403)
    assert reply.refusal["error"] in ("invalid_client_version", "bad_request")


def test_an_unsupported_client_version_has_its_own_code(device: Device) -> None:
    reply = device.rejected("get_secret", clientVersion="mp15.0.0")

    assert reply.refusal["result_code"] == "invalid_client_version"
    assert reply.refusal["additional_info"].startswith("invalid client version")


@pytest.mark.parametrize(
    "rotate", [OwnerSession.renumber_server_key, OwnerSession.rotate_server_key]
)
def test_another_server_key_is_asked_for_by_id(
    own_vault: LocalVault, rotate: Callable[..., object]
) -> None:
    device = Device.bound(own_vault)
    with own_vault.owner() as owner:
        rotate(owner)

    reply = device.rejected("get_secret")

    assert (reply.status, reply.refusal["error"], reply.refusal["key_id"]) == (403, "key", "101")


def test_a_wrong_key_under_the_right_id_is_not_a_request_for_a_key(own_vault: LocalVault) -> None:
    device = Device.bound(own_vault)
    with own_vault.owner() as owner:
        owner.rotate_server_key()
    signed, _ = device.sign({}, key_id="101")

    # A client would follow a request for a key without end.
    assert device.send("get_secret", signed).refusal["error"] == "bad_request"


def test_the_next_requests_are_throttled_when_told(own_vault: LocalVault) -> None:
    device = Device.bound(own_vault)
    with own_vault.owner() as owner:
        owner.throttle = ThrottleRule(throttle_next=1, retry_after_seconds=0.5)

    reply = device.rejected("get_secret")

    assert reply.status == 403
    assert (reply.refusal["error"], reply.refusal["retry_after"]) == ("throttled", 0.5)
    assert device.ask("get_secret")["records"]


def test_the_limit_counts_by_client_and_path(own_vault: LocalVault) -> None:
    busy, other = Device.bound(own_vault), Device.bound(own_vault)
    with own_vault.owner() as owner:
        owner.throttle = ThrottleRule(request_limit=1)

    busy.ask("get_secret")

    assert busy.rejected("get_secret").refusal["error"] == "throttled"
    assert busy.ask("get_folders")
    assert other.ask("get_secret")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda headers: {k: v for k, v in headers.items() if k != "TransmissionKey"},
        lambda headers: {k: v for k, v in headers.items() if k != "Authorization"},
        lambda headers: {k: v for k, v in headers.items() if k != "PublicKeyId"},
        lambda headers: {**headers, "TransmissionKey": "!"},
        lambda headers: {**headers, "TransmissionKey": "AAAA"},
        lambda headers: {**headers, "Authorization": "Bearer x"},
    ],
)
def test_malformed_headers_are_refused(
    device: Device, spoil: Callable[[Mapping[str, str]], Mapping[str, str]]
) -> None:
    signed, _ = device.sign({})
    target = "/api/rest/sm/v1/get_secret"

    reply = device.exchange("POST", target, signed.body, spoil(signed.headers()))

    assert (reply.status, reply.refusal["error"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("path", "payload"),
    [
        ("get_secret", {"requestedRecords": "x"}),
        ("get_secret", {"requestedFolders": [1]}),
        ("get_secret", {"clientId": 5}),
        ("get_secret", {"clientId": "\ud800"}),
        ("delete_secret", {"recordUids": ["\ud800"]}),
        ("get_secret", {"publicKey": "AAAA"}),
        ("get_secret", {"publicKey": PUBLIC_KEY_OF_ANOTHER_CURVE}),
        ("create_secret", {"recordUid": "../../etc"}),
        ("create_secret", {"recordUid": None}),
        ("update_secret", {"recordUid": "A" * 22, "revision": None}),
        ("delete_secret", {"recordUids": {"a": 1}}),
        ("create_folder", {"folderUid": "A" * 22}),
        ("add_file", {"fileRecordUid": "A" * 22, "fileSize": 10**12}),
        ("add_file", {"fileRecordUid": "A" * 22, "fileSize": True}),
    ],
)
def test_a_malformed_payload_is_refused(
    device: Device, path: str, payload: Mapping[str, object]
) -> None:
    reply = device.rejected(path, **payload)

    assert reply.status in (400, 404)


@pytest.mark.parametrize("payload", [b"[]", b"null", b"", b"\xff", b"[" * 100_000])
def test_a_payload_that_is_no_object_is_refused(device: Device, payload: bytes) -> None:
    signed, _ = make_request(
        payload,
        sign=signer(device.private_key),
        server_public_key=from_base64(device.vault.server_public_key),
        public_key_id=device.vault.server_public_key_id,
    )

    assert device.send("get_secret", signed).status == 400


def test_an_unknown_path_is_not_found(device: Device) -> None:
    signed, _ = device.sign({})

    assert device.send("steal_secret", signed).status == 404


def test_a_request_that_is_too_large_is_not_read(device: Device) -> None:
    signed = SignedRequest("100", b"", b"", b"")
    headers = {**signed.headers(), "Content-Length": str(1 << 30)}

    assert device.exchange("POST", "/api/rest/sm/v1/get_secret", b"", headers).status == 413

"""Keys, versions, states, and the cryptography of each algorithm."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.keys import KeyClient
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ksm_storage_emulators.azure_key_vault.keys import KeyVersion
from ksm_storage_emulators.json_web_token import decode, encode

from .conftest import HSM, Answer, Wire

DAY = 86_400
SECRET = b"k" * 32
OAEP = {"alg": "RSA-OAEP-256"}


@pytest.fixture
def key(wire: Wire) -> KeyVersion:
    return wire.service.create_key("app")


@pytest.fixture
def aes(wire: Wire) -> KeyVersion:
    hsm = wire.service.add_managed_hsm("h")
    return wire.service.create_key("aes", vault=hsm, kty="oct-HSM")


def use(wire: Wire, key: KeyVersion, operation: str, **body: Any) -> Answer:
    """Post a key operation to the version, at the host that its id names."""
    host, _, path = key.kid.removeprefix("https://").partition("/")
    sent = {name: encode(v) if isinstance(v, bytes) else v for name, v in body.items()}
    resource = HSM if "managedhsm" in host else "https://vault.azure.net"
    return wire.post(f"/{path}/{operation}", sent, host=host, token=wire.token(resource))


@pytest.mark.parametrize(("wrap", "unwrap"), [("wrapkey", "unwrapkey"), ("encrypt", "decrypt")])
@pytest.mark.parametrize("algorithm", ["RSA-OAEP", "RSA-OAEP-256"])
def test_an_rsa_key_opens_what_it_sealed_and_names_its_version(
    wire: Wire, key: KeyVersion, wrap: str, unwrap: str, algorithm: str
) -> None:
    sealed = use(wire, key, wrap, alg=algorithm, value=SECRET).body

    opened = use(wire, key, unwrap, alg=algorithm, value=sealed["value"]).body

    assert (decode(opened["value"]), opened["kid"], sealed["kid"]) == (SECRET, key.kid, key.kid)
    assert use(wire, key, unwrap, alg="RSA-OAEP", value=sealed["value"]).status == (
        200 if algorithm == "RSA-OAEP" else 400
    )


def test_the_public_part_seals_what_the_vault_opens(wire: Wire, key: KeyVersion) -> None:
    public = wire.send("GET", "/keys/app").body["key"]
    numbers = (int.from_bytes(decode(public[part]), "big") for part in ("e", "n"))
    sealed = (
        rsa.RSAPublicNumbers(*numbers)
        .public_key()
        .encrypt(SECRET, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    )

    assert decode(use(wire, key, "unwrapkey", value=sealed, **OAEP).body["value"]) == SECRET


def test_an_aes_key_wraps_as_rfc_3394_has_it(wire: Wire, aes: KeyVersion) -> None:
    wrapped = use(wire, aes, "wrapkey", alg="A256KW", value=SECRET).body["value"]

    assert len(decode(wrapped)) == 40
    opened = use(wire, aes, "unwrapkey", alg="A256KW", value=wrapped).body["value"]
    assert decode(opened) == SECRET


def test_an_aes_key_encrypts_with_an_iv_of_its_own_and_binds_the_aad(
    wire: Wire, aes: KeyVersion
) -> None:
    first, second = (
        use(wire, aes, "encrypt", alg="A256GCM", value=SECRET, aad=b"a").body for _ in range(2)
    )
    parts = {name: first[name] for name in ("value", "iv", "tag", "aad")}

    assert first["iv"] != second["iv"]
    assert decode(use(wire, aes, "decrypt", alg="A256GCM", **parts).body["value"]) == SECRET
    for damaged in ("value", "tag", "aad"):
        altered = {**parts, damaged: encode(b"x" * len(decode(parts[damaged])))}
        assert use(wire, aes, "decrypt", alg="A256GCM", **altered).error == ("BadParameter", None)


@pytest.mark.parametrize(
    "body",
    [
        {"value": SECRET},
        {"alg": "RSA-OAEP-256"},
        {"alg": "ROT13", "value": SECRET},
        {"alg": "A256KW", "value": SECRET},
        {"alg": "RSA-OAEP-256", "value": "+/"},
        {"alg": "RSA-OAEP-256", "value": b"x" * 191},
    ],
    ids=["no algorithm", "no value", "unknown", "of another kind", "no base64url", "too long"],
)
def test_a_body_that_makes_no_sense_is_a_bad_parameter(
    wire: Wire, key: KeyVersion, body: dict[str, Any]
) -> None:
    answer = use(wire, key, "wrapkey", **body)

    assert (answer.status, answer.error) == (400, ("BadParameter", None))


def test_another_version_is_a_bad_parameter(wire: Wire, key: KeyVersion) -> None:
    wrapped = use(wire, key, "wrapkey", value=SECRET, **OAEP).body["value"]
    newest = wire.service.create_key("app")

    assert use(wire, newest, "unwrapkey", value=wrapped, **OAEP).error == ("BadParameter", None)
    assert use(wire, key, "unwrapkey", value=wrapped, **OAEP).status == 200
    assert wire.post("/keys/app/wrapkey", {**OAEP, "value": encode(SECRET)}).body["kid"] == (
        newest.kid
    )


@pytest.mark.parametrize("operation", ["wrapkey", "unwrapkey", "encrypt", "decrypt"])
def test_a_disabled_key_does_nothing(wire: Wire, key: KeyVersion, operation: str) -> None:
    key.enabled = False

    answer = use(wire, key, operation, value=SECRET, **OAEP)

    assert (answer.status, answer.error) == (403, ("Forbidden", "KeyDisabled"))


@pytest.mark.parametrize(("days", "inner"), [(-1, "KeyExpired"), (1, "KeyNotYetValid")])
def test_a_key_outside_its_time_opens_and_does_not_seal(
    wire: Wire, key: KeyVersion, days: int, inner: str
) -> None:
    wrapped = use(wire, key, "wrapkey", value=SECRET, **OAEP).body["value"]
    when = int(wire.service.clock.now()) + days * DAY
    key.expires, key.not_before = (when, None) if days < 0 else (None, when)

    assert use(wire, key, "wrapkey", value=SECRET, **OAEP).error == ("Forbidden", inner)
    assert use(wire, key, "unwrapkey", value=wrapped, **OAEP).status == 200


def test_time_decides_and_the_clock_moves_it(wire: Wire, key: KeyVersion) -> None:
    key.expires = int(wire.service.clock.now()) + DAY
    assert use(wire, key, "wrapkey", value=SECRET, **OAEP).status == 200

    wire.emulator.clock.advance(DAY)

    assert use(wire, key, "wrapkey", value=SECRET, **OAEP).error == ("Forbidden", "KeyExpired")


def test_an_operation_that_the_key_was_made_without_is_forbidden(
    wire: Wire, key: KeyVersion
) -> None:
    key.operations = ("sign",)

    assert use(wire, key, "wrapkey", value=SECRET, **OAEP).error == (
        "Forbidden",
        "KeyOperationForbidden",
    )


@pytest.mark.parametrize("path", ["/keys/none/wrapkey", f"/keys/app/{'0' * 32}/wrapkey"])
def test_a_key_or_version_that_is_not_there_is_not_found(
    wire: Wire, key: KeyVersion, path: str
) -> None:
    answer = wire.post(path, {**OAEP, "value": encode(SECRET)})

    assert (answer.status, answer.error) == (404, ("KeyNotFound", None))


@pytest.mark.parametrize("path", ["/secrets/app", "/keys/app/sign2", "/keys/a.b/wrapkey", "/"])
def test_a_path_that_is_not_there_is_not_found(wire: Wire, path: str) -> None:
    assert wire.post(path, {}).status == 404


@pytest.mark.parametrize("query", ["?api-version=1999-01-01", "?x=1"])
def test_a_version_of_the_api_that_is_not_there_is_a_bad_parameter(
    wire: Wire, key: KeyVersion, query: str
) -> None:
    assert wire.send("GET", f"/keys/app{query}").error == ("BadParameter", None)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_object_is_a_bad_parameter(
    wire: Wire, key: KeyVersion, body: bytes
) -> None:
    assert wire.send("POST", "/keys/app/wrapkey", body).error == ("BadParameter", None)


def test_a_body_that_is_not_declared_as_json_is_a_bad_parameter(
    wire: Wire, key: KeyVersion
) -> None:
    headers = {"Content-Type": "text/plain"}

    assert wire.send("POST", "/keys/app/wrapkey", b"{}", headers=headers).error == (
        "BadParameter",
        None,
    )


def test_the_client_library_creates_rotates_updates_and_reads(keys: KeyClient) -> None:
    created = keys.create_rsa_key("app", size=3072)
    rotated = keys.rotate_key("app")
    keys.update_key_properties("app", enabled=False)

    newest, first = keys.get_key("app"), keys.get_key("app", created.properties.version)

    assert newest.id == rotated.id != created.id
    assert (newest.properties.enabled, first.properties.enabled) == (False, True)
    assert len(vars(newest.key)["n"]) == 384
    assert created.id.startswith("https://demo.vault.azure.net/keys/app/")


@pytest.mark.parametrize("request_body", [{"kty": "oct-HSM"}, {"kty": "EC", "crv": "P-384"}])
def test_a_vault_makes_rsa_and_p256_keys_only(wire: Wire, request_body: dict[str, str]) -> None:
    assert wire.post("/keys/app/create", request_body).error == ("BadParameter", None)


def test_a_managed_hsm_makes_keys_of_both_kinds(wire: Wire) -> None:
    wire.service.add_managed_hsm("h")
    options = {"host": "h.managedhsm.azure.net", "token": wire.token(HSM)}

    made = [wire.post(f"/keys/{kty}/create", {"kty": kty}, **options) for kty in ("oct-HSM", "RSA")]

    assert [answer.body["key"]["kty"] for answer in made] == ["oct-HSM", "RSA-HSM"]
    assert "k" not in made[0].body["key"]


def test_a_deleted_key_is_gone_blocks_its_name_and_comes_back(
    keys: KeyClient, wire: Wire, key: KeyVersion
) -> None:
    keys.begin_delete_key("app", _polling_interval=0).result()

    with pytest.raises(ResourceNotFoundError):
        keys.get_key("app")
    assert use(wire, key, "unwrapkey", value=SECRET, **OAEP).error == ("KeyNotFound", None)
    with pytest.raises(ResourceExistsError):
        keys.create_rsa_key("app")
    assert wire.post("/keys/app/create", {"kty": "RSA"}).error == (
        "Conflict",
        "ObjectIsDeletedButRecoverable",
    )
    assert keys.begin_recover_deleted_key("app", _polling_interval=0).result().id == key.kid


def test_a_purged_key_is_destroyed(keys: KeyClient, key: KeyVersion) -> None:
    keys.begin_delete_key("app", _polling_interval=0).result()

    keys.purge_deleted_key("app")

    with pytest.raises(ResourceNotFoundError):
        keys.get_deleted_key("app")
    assert keys.create_rsa_key("app").id != key.kid


def test_a_deleted_key_is_purged_when_its_time_is_over(
    keys: KeyClient, wire: Wire, key: KeyVersion
) -> None:
    keys.begin_delete_key("app", _polling_interval=0).result()
    assert keys.get_deleted_key("app").name == "app"

    wire.emulator.clock.advance(90 * DAY)

    with pytest.raises(HttpResponseError):
        keys.get_deleted_key("app")


def test_the_version_of_a_key_may_be_empty(wire: Wire) -> None:
    # Microsoft's client for JavaScript sends it so.
    wire.post("/keys/app/create", {"kty": "RSA"})

    wrapped = wire.post("/keys/app//wrapkey", {"alg": "RSA-OAEP-256", "value": "AAAA"})
    body = {"alg": "RSA-OAEP-256", "value": wrapped.body["value"]}

    assert wire.post("/keys/app//unwrapkey", body).body["value"] == "AAAA"

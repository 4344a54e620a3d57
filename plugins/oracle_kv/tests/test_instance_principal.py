"""An instance's direct call asks what Oracle's client asks, and has never another result."""

from __future__ import annotations

import base64
import json
import os
import random
import re
from types import SimpleNamespace
from typing import Any

import oci
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from ksm_storage_oracle_kv.client import VaultClient
from ksm_storage_oracle_kv.direct_call import SIGNED, signed_headers
from ksm_storage_oracle_kv.hooks import NAMES
from oci.auth.federation_client import AuthTokenRequestSigner

from ksm_storage.plugin import WrappedDek

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import KEY
from .test_direct_call import DEK, access, started

METADATA = "/opc/v2"
IDENTITY = "/v1/x509"
DECRYPT = "/20180608/decrypt"


def wrapped_dek(emulator: EmulatedVault, **settings: object) -> tuple[str, WrappedDek]:
    key = emulator.create_key()
    with open_kek(key, emulator.url, **settings) as kek:
        return key, kek.wrap(DEK, aad=AAD)


class TestRequests:
    """What is sent, beside what Oracle's client sends."""

    @pytest.mark.parametrize("kind", ["vault", "identity"])
    def test_a_request_is_signed_as_oracles_client_signs_it(self, kind: str) -> None:
        # Of half the usual length: what is signed does not depend on it.
        key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        choose = random.Random(7)

        for _ in range(2000):
            body = choose.randbytes(choose.randrange(2000)).hex().encode()
            name = choose.randbytes(choose.randrange(1, 900)).hex()
            host, path = f"{choose.randbytes(6).hex()}.oraclecloud.com", DECRYPT
            signed: list[str] = list(SIGNED)
            if kind == "vault":
                signer = oci.auth.signers.SecurityTokenSigner(name, key)
                key_id = f"ST${name}"
            else:
                owner = SimpleNamespace(get_private_key=lambda: key)
                signer = AuthTokenRequestSigner(name, "AA:BB", owner)
                key_id, path = f"{name}/fed-x509/AA:BB", IDENTITY
                signed.remove("host")

            ours = signed_headers(f"https://{host}{path}", body, key_id, _sign(key), signed)

            theirs = _signed_by(signer, f"https://{host}{path}", path, body, ours["date"])
            assert ours["authorization"] == theirs["authorization"]
            assert ours["x-content-sha256"] == theirs["x-content-sha256"]

    def test_the_requests_are_those_of_oracles_client(
        self, emulator: EmulatedVault, instance: dict[str, object]
    ) -> None:
        key, wrapped = wrapped_dek(emulator, **instance)
        made: list[list[Any]] = []

        for is_direct in (True, False):
            emulator.emulator.transcript.reset()
            with open_kek(key, emulator.url, direct_call=is_direct, **instance) as kek:
                assert kek.unwrap(wrapped, aad=AAD) == DEK
            made.append(emulator.emulator.transcript.exchanges())

        direct, client = ({each.target: each for each in exchanges} for exchanges in made)
        # Each request once; the client asks for the certificates twice, and for a region that an
        # identity service of the settings has no use for.
        assert len(direct) == len(made[0]) == 5
        assert set(client) - set(direct) == {f"{METADATA}/instance/region"}
        assert {each.status for each in made[0]} == {200}
        for target, ours in direct.items():
            theirs = client[target]
            assert (ours.method, _named(ours)) == (theirs.method, _named(theirs)), target
            assert _meaning(ours.body) == _meaning(theirs.body), target
        sent = json.loads(direct[IDENTITY].body)["publicKey"]
        public_key = load_der_public_key(base64.b64decode(sent))
        assert isinstance(public_key, rsa.RSAPublicKey)
        assert public_key.key_size == 2048

    def test_the_identity_service_is_that_of_the_region(
        self, emulator: EmulatedVault, instance: dict[str, object]
    ) -> None:
        from ksm_storage_oracle_kv import instance_principal

        asked: list[str] = []
        client = VaultClient(NAMES.parse(KEY), access(credential="instance-principal"))
        vault = SimpleNamespace(to=asked.append)

        with pytest.raises(AttributeError):
            instance_principal.session(client.access, vault)  # type: ignore[arg-type]  # no network

        signer = oci.regions.endpoint_for("auth", "iad")
        assert (
            asked
            == [f"{signer}{IDENTITY}"]
            == ["https://auth.us-ashburn-1.oraclecloud.com/v1/x509"]
        )

    def test_a_start_imports_no_oracle_client(
        self, emulator: EmulatedVault, instance: dict[str, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key, wrapped = wrapped_dek(emulator, **instance)
        emulator.emulator.transcript.reset()
        for name, value in instance.items():
            monkeypatch.setenv(f"KSM_STORAGE_ORACLE_KV_{name.upper()}", str(value))

        assert started(key, emulator, wrapped) == ""
        assert emulator.calls() == 5

    def test_two_calls_do_not_share_a_key(
        self, emulator: EmulatedVault, instance: dict[str, object]
    ) -> None:
        key, wrapped = wrapped_dek(emulator, **instance)
        emulator.emulator.transcript.reset()

        for _ in range(2):
            with open_kek(key, emulator.url, **instance) as kek:
                kek.unwrap(wrapped, aad=AAD)

        bodies = [each.body for each in emulator.emulator.transcript.exchanges() if each.body]
        keys = {json.loads(body).get("publicKey") for body in bodies} - {None}
        assert len(keys) == 2

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_a_child_makes_a_direct_call_of_its_own(
        self, emulator: EmulatedVault, instance: dict[str, object]
    ) -> None:
        key, wrapped = wrapped_dek(emulator, **instance)
        with open_kek(key, emulator.url, **instance) as kek:
            kek.unwrap(wrapped, aad=AAD)
            child = os.fork()
            if child == 0:
                with open_kek(key, emulator.url, **instance) as own:
                    equal = own.unwrap(wrapped, aad=AAD) == DEK
                os._exit(0 if equal and kek.unwrap(wrapped, aad=AAD) == DEK else 1)

            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert kek.unwrap(wrapped, aad=AAD) == DEK


class TestWhoSends:
    """Which way a key takes."""

    def test_doctor_says_the_way(self) -> None:
        client = VaultClient(NAMES.parse(KEY), access(credential="instance-principal"))

        assert client.first_unwrap() == "direct, with the instance principal"

    @pytest.mark.parametrize(
        ("settings", "variables"),
        [
            ({"direct_call": "false"}, {}),
            ({}, {"OCI_METADATA_BASE_URL": "https://metadata.example/opc/v2"}),
            ({}, {"OCI_REGION_METADATA": "{}"}),
        ],
        ids=str,
    )
    def test_anything_else_is_left_to_the_client(
        self,
        settings: dict[str, str],
        variables: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        client = VaultClient(NAMES.parse(KEY), access(credential="instance-principal", **settings))

        assert client.first_unwrap().startswith("through Oracle's client: ")

    def test_the_setting_turns_it_off(
        self, emulator: EmulatedVault, instance: dict[str, object]
    ) -> None:
        key, wrapped = wrapped_dek(emulator, **instance)
        emulator.emulator.transcript.reset()

        with open_kek(key, emulator.url, direct_call=False, **instance) as kek:
            kek.unwrap(wrapped, aad=AAD)

        # The client asks for the certificate twice.
        assert emulator.emulator.transcript.count("instance:cert.pem") == 2

    def test_the_metadata_service_is_not_asked_through_a_proxy(
        self,
        emulator: EmulatedVault,
        instance: dict[str, object],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        key, wrapped = wrapped_dek(emulator, **instance)
        emulator.emulator.transcript.reset()
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")

        with open_kek(key, emulator.url, **instance) as kek:
            assert kek.unwrap(wrapped, aad=AAD) == DEK

        assert emulator.calls() == 5


def _sign(key: rsa.RSAPrivateKey) -> Any:
    return lambda text: key.sign(text, PKCS1v15(), SHA256())


def _signed_by(signer: Any, url: str, path: str, body: bytes, date: str) -> Any:
    given = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "date": date,
    }
    request = SimpleNamespace(method="POST", url=url, path_url=path, body=body, headers=given)
    signer.do_request_sign(request)
    return request.headers


def _named(exchange: Any) -> object:
    """Return what a request is authorised by, but for what differs each time."""
    text = exchange.headers.get("authorization", "")
    fields = dict(re.findall('([A-Za-z]+)="([^"]*)"', text))
    fields.pop("signature", None)
    if fields.get("keyId", "").startswith("ST$"):
        fields["keyId"] = "ST$"
    return fields or text


def _meaning(body: bytes) -> object:
    if not body:
        return None
    members = json.loads(body)
    members.pop("publicKey", None)
    return {name: value for name, value in members.items() if value is not None}

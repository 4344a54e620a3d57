"""Sign with keys on each curve, and each documented refusal."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from oci.key_management.models import CreateKeyDetails, KeyShape, SignDataDetails

from ksm_storage_emulators.oci_vault.identities import Grant
from ksm_storage_emulators.oci_vault.keys import DISABLED, ECDSA

from .conftest import Clients, OciVault
from .crypto_requests import encrypt, refused

MESSAGE = b"sign this"
DIGEST = hashlib.sha256(MESSAGE).digest()


def sign(client: Any, key_id: str, message: bytes = DIGEST, **details: Any) -> Any:
    """Return the data of a Sign reply, of a digest unless the details say otherwise."""
    arguments = {
        "key_id": key_id,
        "message": base64.b64encode(message).decode(),
        "message_type": "DIGEST",
        "signing_algorithm": "ECDSA_SHA_256",
        **details,
    }
    return client.sign(SignDataDetails(**arguments)).data


def create(clients: Clients, *, length: int = 32, curve: str | None = None) -> Any:
    """Create a key over the wire."""
    shape = KeyShape(algorithm="ECDSA", length=length, curve_id=curve)
    details = CreateKeyDetails(compartment_id="any", display_name="device", key_shape=shape)
    return clients.management().create_key(details).data


def public_key(clients: Clients, key_id: str, version: str) -> ec.EllipticCurvePublicKey:
    """Return the public half of a version, as the management endpoint shows it."""
    pem = clients.management().get_key_version(key_id, version).data.public_key
    found = load_pem_public_key(pem.encode())
    assert isinstance(found, ec.EllipticCurvePublicKey)
    return found


@pytest.mark.parametrize(
    ("length", "curve", "algorithm", "chosen"),
    [
        (32, "NIST_P256", "ECDSA_SHA_256", SHA256()),
        (48, "NIST_P384", "ECDSA_SHA_384", SHA384()),
        (66, "NIST_P521", "ECDSA_SHA_512", SHA512()),
    ],
)
def test_a_signature_is_that_of_the_version(
    clients: Clients, crypto: Any, length: int, curve: str, algorithm: str, chosen: HashAlgorithm
) -> None:
    key = create(clients, length=length, curve=curve)

    of_digest = sign(
        crypto, key.id, hashlib.new(chosen.name, MESSAGE).digest(), signing_algorithm=algorithm
    )
    of_message = sign(crypto, key.id, MESSAGE, message_type="RAW", signing_algorithm=algorithm)

    public = public_key(clients, key.id, of_digest.key_version_id)
    for signed in (of_digest, of_message):
        public.verify(base64.b64decode(signed.signature), MESSAGE, ec.ECDSA(chosen))
    assert key.key_shape.curve_id == curve
    assert (of_digest.key_id, of_digest.key_version_id) == (key.id, key.current_key_version)
    assert of_digest.signing_algorithm == algorithm


def test_a_version_signs_after_a_rotation(
    oci_vault: OciVault, clients: Clients, crypto: Any
) -> None:
    key = oci_vault.service.create_key(algorithm=ECDSA)
    first = key.current.ocid
    key.rotate(0.0)

    signed = sign(crypto, key.ocid, key_version_id=first)

    assert signed.key_version_id == first
    public = public_key(clients, key.ocid, first)
    public.verify(base64.b64decode(signed.signature), MESSAGE, ec.ECDSA(SHA256()))


@pytest.mark.parametrize(
    "details",
    [
        {"message": b"short"},
        {"message": bytes(4097), "message_type": "RAW"},
        {"signing_algorithm": "SHA_256_RSA_PKCS_PSS"},
        {"signing_algorithm": "ECDSA_SHA_384"},
    ],
)
def test_what_does_not_fit_is_an_invalid_parameter(
    oci_vault: OciVault, crypto: Any, details: dict[str, Any]
) -> None:
    key_id = oci_vault.service.create_key(algorithm=ECDSA).ocid

    assert refused(lambda: sign(crypto, key_id, **details)) == (400, "InvalidParameter")


def test_a_key_does_only_what_it_is_for(oci_vault: OciVault, crypto: Any, key_id: str) -> None:
    signing = oci_vault.service.create_key(algorithm=ECDSA).ocid

    assert refused(lambda: sign(crypto, key_id)) == (400, "InvalidParameter")
    assert refused(lambda: encrypt(crypto, signing)) == (400, "InvalidParameter")


def test_a_curve_that_does_not_fit_the_length_is_refused(clients: Clients) -> None:
    assert refused(lambda: create(clients, length=32, curve="NIST_P384")) == (
        400,
        "InvalidParameter",
    )


def test_a_disabled_key_does_not_sign(oci_vault: OciVault, crypto: Any) -> None:
    key = oci_vault.service.create_key(algorithm=ECDSA)
    key.state = DISABLED

    assert refused(lambda: sign(crypto, key.ocid)) == (409, "IncorrectState")


def test_the_permission_to_sign_is_one_of_its_own(oci_vault: OciVault, clients: Clients) -> None:
    key_id = oci_vault.service.create_key(algorithm=ECDSA).ocid
    allowed = oci_vault.service.identities.add_user([Grant("KEY_SIGN")])
    denied = oci_vault.service.identities.add_user([Grant("KEY_ENCRYPT"), Grant("KEY_DECRYPT")])

    assert sign(clients.crypto(allowed), key_id).signature
    assert refused(lambda: sign(clients.crypto(denied), key_id)) == (
        404,
        "NotAuthorizedOrNotFound",
    )

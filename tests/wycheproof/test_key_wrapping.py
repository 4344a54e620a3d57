"""AES-KW and RSA-OAEP.

- AES-KW (RFC 3394), 165 vectors: all fit the emulator of Azure Key Vault, which has three lengths
  of key; nothing of ours wraps so in this process.
- AES-KWP (RFC 5649), 254 vectors: they run on a token, in the tests of the PKCS #11 plugin.
- RSA-OAEP, with SHA-1 or SHA-256 as hash and in MGF1: those without a label fit the emulators of
  AWS, Azure and OCI, which have none. 146 of 193 vectors do.
- The plugin for Google Cloud encrypts with the public key and draws its own seed, so no ciphertext
  of a vector fits; keys and messages do, and what it makes is decrypted by another library.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from Crypto.Cipher import PKCS1_OAEP
from Crypto.Hash import SHA1, SHA256
from Crypto.PublicKey.RSA import RsaKey, import_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from ksm_storage_emulators.aws_kms import rsa_cipher as aws
from ksm_storage_emulators.aws_kms.errors import AwsError
from ksm_storage_emulators.aws_kms.keys import KmsKey, Lineage
from ksm_storage_emulators.azure_key_vault import algorithms as azure
from ksm_storage_emulators.azure_key_vault.errors import VaultError
from ksm_storage_emulators.oci_vault import cipher as oci
from ksm_storage_emulators.oci_vault.errors import OciError
from ksm_storage_emulators.oci_vault.keys import RSA, Key, KeyVersion
from ksm_storage_gcp_kms.purposes import PublicKey

from tests.wycheproof.vectors import FOLDER, Vector, raw, run, vectors

OAEP_FILES = sorted(
    path.relative_to(FOLDER).as_posix()
    for path in (FOLDER / "Cipher/wycheproof").glob("rsa_oaep_*_test.json")
)
HASHES = ("SHA-1", "SHA-256")
OF_OUR_HASHES = [v for v in vectors(*OAEP_FILES) if v["sha"] == v["mgfSha"] and v["sha"] in HASHES]
WITHOUT_LABEL = [v for v in OF_OUR_HASHES if not v["label"]]


def private_key(vector: Vector) -> RSAPrivateKey:
    return loaded(raw(vector, "privateKeyPkcs8"))


@cache
def loaded(der: bytes) -> RSAPrivateKey:
    # The check of a key takes longer than all that is done with it here.
    key = load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    return key


@cache
def loaded_elsewhere(der: bytes) -> RsaKey:
    return import_key(der)


def by_aws(vector: Vector) -> bytes:
    lineage = Lineage([], private_key(vector), "r", ["r"])
    key = KmsKey("k", "r", "RSA_2048", False, 0.0, "", lineage)
    return aws.decrypt(key, raw(vector, "ct"), f"RSAES_OAEP_{vector['sha'].replace('-', '_')}")


def by_azure(vector: Vector) -> bytes:
    name = {"SHA-1": "RSA-OAEP", "SHA-256": "RSA-OAEP-256"}[vector["sha"]]
    return azure.rsa_decrypt(private_key(vector), name, azure.Sealed(raw(vector, "ct")))


def by_oci(vector: Vector) -> bytes:
    version = KeyVersion("v", 0.0, private_key=private_key(vector))
    key = Key("k", RSA, 256, "k", 0.0, [version])
    name = f"RSA_OAEP_{vector['sha'].replace('-', '_')}"
    return oci.decrypt(key, None, raw(vector, "ct"), algorithm=name, data={})[0]


def test_aes_key_wrap_of_the_emulator_of_azure_key_vault() -> None:
    def unwrapped(vector: Vector) -> bytes:
        name = f"A{vector['keySize']}KW"
        return azure.aes_unwrap(raw(vector, "key"), name, azure.Sealed(raw(vector, "ct")))

    chosen = vectors("Cipher/wycheproof/aes_wrap_test.json")

    assert run(chosen, unwrapped, expect="msg", refusal=VaultError) == {
        "valid": 36,
        "invalid": 126,
        "acceptable": 3,
    }


@pytest.mark.parametrize(
    ("decrypted", "refusal"), [(by_aws, AwsError), (by_azure, VaultError), (by_oci, OciError)]
)
def test_rsa_oaep_of_the_emulators(
    decrypted: Callable[[Vector], bytes], refusal: type[Exception]
) -> None:
    tally = run(WITHOUT_LABEL, decrypted, expect="msg", refusal=refusal)

    assert (len(OF_OUR_HASHES), tally) == (193, {"valid": 70, "invalid": 76})


def test_what_the_plugin_for_google_cloud_encrypts_is_decrypted_by_another_library() -> None:
    chosen = [v for v in WITHOUT_LABEL if v["keySize"] in (2048, 3072, 4096)]

    def there_and_back(vector: Vector) -> bytes:
        key, sha = private_key(vector), vector["sha"].replace("-", "")
        algorithm = f"RSA_DECRYPT_OAEP_{vector['keySize']}_{sha}"
        _, _, sealed = PublicKey("v", algorithm, key.public_key()).encrypt(raw(vector, "msg"))
        other = loaded_elsewhere(raw(vector, "privateKeyPkcs8"))
        hashing = {"SHA1": SHA1, "SHA256": SHA256}[sha]
        return PKCS1_OAEP.new(other, hashAlgo=hashing).decrypt(sealed)

    valid = [v for v in chosen if v["result"] == "valid"]

    assert run(valid, there_and_back, expect="msg", refusal=ValueError) == {"valid": 58}

"""The services, given the KEK of a vector, unwrap its DEK through the plugin.

So the layouts of docs/envelope-format.md are those of the services. The plugin for tokens has the
like in its own tests.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from ksm_storage_emulators.pytest_plugin import EmulatorStarter

from ksm_storage.contract.key_wrapper import KeyUri, WrappedDek
from ksm_storage.envelope.codec import decode, wrap_aad
from ksm_storage.keys.kek import Kek
from tests.call_counts.services import SERVICES
from tests.key_service_faults.soft_hsm import module_of_plugin_tests
from tests.vectors.make_vectors import FOLDER, WITH_KEK

VECTORS: list[dict[str, Any]] = json.loads((FOLDER / WITH_KEK).read_text())["vectors"]


def of(provider: str) -> list[Any]:
    return [
        pytest.param(vector, id=vector["algorithm"])
        for vector in VECTORS
        if vector["recipient"].startswith(f"{provider}://") and vector["layout"] != "opaque"
    ]


def rsa_key(numbers: Mapping[str, str]) -> rsa.RSAPrivateKey:
    n, e, d, p, q = (int(numbers[part], 16) for part in "nedpq")
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(e, n)).private_key()


def unwrapped(vector: dict[str, Any], key: str, **settings: object) -> bytes:
    """Unwrap a vector's DEK under the key that holds its KEK in the service."""
    header = decode("".join(vector["envelope"]).encode("latin-1")).header
    aad = wrap_aad(header.envelope_id, header.generation, header.context)
    uri = KeyUri.parse(key)
    wrapped = WrappedDek(uri.key_id, vector["algorithm"], base64.b64decode(vector["wrapped_dek"]))
    with Kek.open(uri, {uri.provider: settings}) as kek:
        return kek.unwrap(wrapped, aad=aad)


@pytest.fixture
def start(start_emulator: EmulatorStarter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give what starts the emulator of a provider and leads its plugin there."""

    def started(provider: str) -> Any:
        pytest.importorskip(SERVICES[provider].plugin)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        return SERVICES[provider].start(start_emulator, tmp_path, monkeypatch).emulator.service

    return started


@pytest.mark.parametrize("vector", of("aws-kms"))
def test_aws_kms(start: Any, vector: dict[str, Any]) -> None:
    key = start("aws-kms").create_key(key_spec="RSA_2048")
    key.lineage.private_key = rsa_key(vector["kek"])

    dek = unwrapped(vector, f"aws-kms://{key.arn}", algorithm=vector["algorithm"])

    assert dek.hex() == vector["dek"]


@pytest.mark.parametrize("vector", of("azure-kv"))
def test_azure(start: Any, vector: dict[str, Any]) -> None:
    service = start("azure-kv")
    is_aes = isinstance(vector["kek"], str)
    vault = service.add_managed_hsm("vectors") if is_aes else service.add_vault("vectors")
    version = service.create_key("app", vault=vault, kty="oct-HSM" if is_aes else "RSA")
    version.material = bytes.fromhex(vector["kek"]) if is_aes else rsa_key(vector["kek"])

    assert unwrapped(vector, f"azure-kv://{version.kid}").hex() == vector["dek"]


@pytest.mark.parametrize("vector", of("gcp-kms"))
def test_cloud_kms(start: Any, vector: dict[str, Any]) -> None:
    algorithm = vector["algorithm"].replace("RAW_AES_GCM", "AES_256_GCM")
    (version,) = start("gcp-kms").create_key("vectors", algorithm=algorithm).versions
    if isinstance(vector["kek"], str):
        version.secret = bytes.fromhex(vector["kek"])
    else:
        version.private_key = rsa_key(vector["kek"])

    assert unwrapped(vector, f"gcp-kms://{version.name}").hex() == vector["dek"]


@pytest.mark.parametrize("vector", of("oracle-kv"))
def test_oci(start: Any, vector: dict[str, Any]) -> None:
    key = start("oracle-kv").create_key(algorithm="RSA")
    key.current.private_key = rsa_key(vector["kek"])
    name = f"oracle-kv://{key.ocid}/{key.current.ocid}"

    assert unwrapped(vector, name, algorithm=vector["algorithm"]).hex() == vector["dek"]


@pytest.mark.parametrize("vector", of("vault-transit"))
def test_transit(tmp_path: Path, vector: dict[str, Any]) -> None:
    pytest.importorskip("ksm_storage_vault_transit")
    openbao = module_of_plugin_tests("openbao", plugin="vault_transit")
    with openbao.OpenBao(tmp_path / "bao") as server:
        server.enable()
        body = {
            "ciphertext": _for_import(server, bytes.fromhex(vector["kek"])),
            "type": "aes256-gcm96",
        }
        server.ask("POST", "transit/keys/app/import", body)
        settings = {"endpoint": server.url, "token": server.root}

        assert unwrapped(vector, vector["recipient"], **settings).hex() == vector["dek"]


def _for_import(server: Any, kek: bytes) -> str:
    """Wrap a KEK as the server's documentation says: RFC 5649 under a key that RSA-OAEP wraps."""
    pem = server.ask("GET", "transit/wrapping_key")["data"]["public_key"]
    public = serialization.load_pem_public_key(pem.encode())
    assert isinstance(public, rsa.RSAPublicKey)
    own = os.urandom(32)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    both = public.encrypt(own, oaep) + keywrap.aes_key_wrap_with_padding(own, kek)
    return base64.b64encode(both).decode()

"""The rules W4 to W13 of docs/envelope-format.md, by the vectors that hold a KEK.

The plugins' own tests have their services open the vectors that concern them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ksm_storage import open_storage
from ksm_storage.contract.key_wrapper import KeyUri, WrappedDek
from ksm_storage.envelope.codec import decode, wrap_aad
from ksm_storage.envelope.opening import covers
from ksm_storage.errors import DecryptionError
from ksm_storage.keys.discovery import find_entry_points
from ksm_storage.keys.kek import Kek
from ksm_storage.providers.os_keyring import SERVICE, KeyringKek
from ksm_storage.providers.recovery_key import RecoveryKey
from ksm_storage.providers.recovery_secret import words_of
from ksm_storage.storage.recipient_changes import newest_version
from tests.vectors.make_vectors import FOLDER, WITH_KEK

VECTORS: list[dict[str, Any]] = json.loads((FOLDER / WITH_KEK).read_text())["vectors"]
PAGE = FOLDER.parents[1] / "docs/envelope-format.md"
BYTES = {"gcm": 60, "kwp": 40, "oaep-sha1": 256, "oaep-sha256": 256, "hpke": 2384}


def named(vector: dict[str, Any]) -> str:
    return f"{vector['recipient'].partition(':')[0]} {vector['algorithm']}"


def of(*layouts: str) -> list[Any]:
    return [pytest.param(v, id=named(v)) for v in VECTORS if v["layout"] in layouts]


def file_of(vector: dict[str, Any]) -> bytes:
    return "".join(vector["envelope"]).encode("latin-1")


def second_opinion(vector: dict[str, Any]) -> bytes | None:
    pytest.importorskip("Crypto", reason="pycryptodome is not installed")
    from tests.second_reader.unwrap import unwrapped

    wrapped, aad = base64.b64decode(vector["wrapped_dek"]), bytes.fromhex(vector["aad"])
    key_id = vector["recipient"].partition("://")[2]
    return unwrapped(vector["algorithm"], wrapped, vector.get("kek", {}), aad, key_id=key_id)


def opened(vector: dict[str, Any], dek: bytes) -> bytes:
    from tests.second_reader.reader import opened

    return opened(file_of(vector), dek, None)


@pytest.mark.parametrize("vector", of("gcm"))
def test_w4_and_w2_another_library_opens_the_envelope_from_its_kek(vector: dict[str, Any]) -> None:
    dek = second_opinion(vector)

    assert len(base64.b64decode(vector["wrapped_dek"])) == 60
    assert dek == bytes.fromhex(vector["dek"])
    assert opened(vector, dek) == base64.b64decode(vector["payload"])


@pytest.mark.parametrize("vector", of("oaep-sha1", "oaep-sha256", "kwp", "transit"))
def test_w5_and_w6_and_w7_another_library_opens_the_envelope_from_its_kek(
    vector: dict[str, Any],
) -> None:
    dek = second_opinion(vector)

    assert dek == bytes.fromhex(vector["dek"])
    assert opened(vector, dek) == base64.b64decode(vector["payload"])


@pytest.mark.parametrize("vector", of("hpke"))
def test_w11_and_w12_and_w13_two_libraries_open_the_envelope_from_the_secret(
    vector: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(file_of(vector))
    words = " ".join(words_of(bytes.fromhex(vector["kek"])))

    dek = second_opinion(vector)
    storage = open_storage(path, settings={"recovery": {"words": words}})

    assert dek == bytes.fromhex(vector["dek"])
    assert opened(vector, dek) == base64.b64decode(vector["payload"])
    assert storage.read_storage() == json.loads(base64.b64decode(vector["payload"]))


@pytest.mark.parametrize("vector", of("hpke"))
def test_w12_the_public_key_of_another_key_is_refused(vector: dict[str, Any]) -> None:
    (recipient,) = decode(file_of(vector)).header.recipients
    ciphertext = bytearray(recipient.ciphertext)
    ciphertext[0] ^= 1
    altered = WrappedDek(recipient.key.key_id, recipient.algorithm, bytes(ciphertext))
    words = " ".join(words_of(bytes.fromhex(vector["kek"])))

    with (
        Kek.open(recipient.key, {"recovery": {"words": words}}) as kek,
        pytest.raises(DecryptionError, match="public key of another key"),
    ):
        kek.unwrap(altered, aad=wrap_aad(b"", 1, {}))
    with pytest.raises(DecryptionError, match="public key of another key"):
        newest_version(recipient._replace(ciphertext=bytes(ciphertext)))


@pytest.mark.parametrize("vector", of("oaep-sha1", "oaep-sha256", "kwp", "hpke"))
def test_w5_and_w6_and_w11_have_the_length_of_their_layout(vector: dict[str, Any]) -> None:
    assert len(base64.b64decode(vector["wrapped_dek"])) == BYTES[vector["layout"]]


@pytest.mark.parametrize("vector", of("opaque"))
def test_w8_an_opaque_wrapped_dek_has_no_kek_and_binds_the_aad(vector: dict[str, Any]) -> None:
    header = decode(file_of(vector)).header

    assert "kek" not in vector
    assert bytes.fromhex(vector["aad"]) == bytes(
        wrap_aad(header.envelope_id, header.generation, header.context)
    )
    assert opened(vector, bytes.fromhex(vector["dek"])) == base64.b64decode(vector["payload"])


def test_w4_a_key_file_opens_its_vector(tmp_path: Path) -> None:
    (vector,) = (v for v in VECTORS if v["recipient"].startswith("key-file:"))
    kek, sealed = tmp_path / "kek", tmp_path / "config.json"
    for path, content in ((kek, bytes.fromhex(vector["kek"])), (sealed, file_of(vector))):
        path.write_bytes(content)
        path.chmod(0o600)

    storage = open_storage(sealed, settings={"key-file": {"path": str(kek)}})

    assert storage.read_storage() == json.loads(base64.b64decode(vector["payload"]))


def test_w4_an_entry_of_the_os_keyring_is_the_kek_in_base64() -> None:
    (vector,) = (v for v in VECTORS if v["recipient"].startswith("os-keyring:"))
    kek = bytes.fromhex(vector["kek"])

    class Store:
        def read(self, service: str, name: str) -> str | None:
            return base64.b64encode(kek).decode() if (service, name) == (SERVICE, "app") else None

    assert SERVICE == "ksm-storage"
    assert KeyringKek("app", Store()).read() == kek  # type: ignore[arg-type]  # reads, no more


def test_w9_a_key_that_is_not_the_recipients_is_refused_before_any_call() -> None:
    vector = next(v for v in VECTORS if v["recipient"].startswith("key-file:"))
    (recipient,) = decode(file_of(vector)).header.recipients
    wrapped = WrappedDek(recipient.key.key_id, recipient.algorithm, recipient.ciphertext)

    # This key file does not exist: whoever reads it gets another error.
    with (
        Kek.open(KeyUri.parse("key-file:///etc/ksm/other.key")) as kek,
        pytest.raises(DecryptionError, match="another key"),
    ):
        kek.unwrap(wrapped, aad=wrap_aad(b"", 1, {}))


_ARN = "aws-kms://arn:aws:kms:eu-west-1:111122223333"
_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
_MULTI = f"mrk-{'1' * 32}"
_AZURE = "azure-kv://https://demo.vault.azure.net/keys/app"
_GCP = "gcp-kms://projects/p/locations/global/keyRings/r/cryptoKeys/app"
_OCI = "oracle-kv://ocid1.key.oc1.iad.vault.unique"

_OFFICE, _HOME = (RecoveryKey.of(name, bytes(32)) for name in ("office", "home"))


def pins() -> Iterator[tuple[str, str, bool]]:
    """Yield a pinned key, a recipient, and whether they match."""
    yield "key-file:///a.key", "key-file:///a.key", True
    yield "key-file:///a.key", "key-file:///a%2Ekey", False
    yield "key-file:///a.key", "os-keyring:///a.key", False
    yield f"{_ARN}:alias/app", f"{_ARN}:key/{_ID}", True
    yield f"{_ARN}:alias/app", f"{_ARN.replace('1111', '4444')}:key/{_ID}", False
    yield f"{_ARN}:alias/app", f"{_ARN}:alias/app2", False
    yield f"aws-kms://{_ID}", f"{_ARN}:key/{_ID}", True
    yield "aws-kms://alias/app", f"{_ARN}:key/{_ID}", True
    yield f"{_ARN}:key/{_MULTI}", f"{_ARN.replace('eu-', 'us-')}:key/{_MULTI}", True
    yield f"{_ARN}:key/{_ID}", f"{_ARN.replace('eu-', 'us-')}:key/{_ID}", False
    yield _AZURE, f"{_AZURE}/{'a' * 32}", True
    yield (
        _AZURE.replace("https://", "").upper().replace("AZURE-KV", "azure-kv"),
        (f"{_AZURE}/{'a' * 32}"),
        True,
    )
    yield f"{_AZURE}/{'a' * 32}", f"{_AZURE}/{'b' * 32}", False
    yield f"{_AZURE}/{'a' * 32}", _AZURE, False
    yield _GCP, f"{_GCP}/cryptoKeyVersions/2", True
    yield f"{_GCP}/cryptoKeyVersions/1", f"{_GCP}/cryptoKeyVersions/2", False
    yield _OCI, f"{_OCI}/ocid1.keyversion.oc1.iad.vault.first", True
    yield f"{_OCI}/ocid1.keyversion.oc1.iad.vault.first", _OCI, False
    yield "pkcs11://object=a", "pkcs11://token=t;object=%61;id=%01", True
    yield "pkcs11://token=u;object=a", "pkcs11://token=t;object=a;id=%01", False
    yield f"recovery://{_OFFICE.public_id}", f"recovery://{_OFFICE.key_id}", True
    yield f"recovery://{_HOME.public_id}", f"recovery://{_OFFICE.key_id}", False
    yield "recovery://office", f"recovery://{_OFFICE.key_id}", False
    yield "vault-transit://transit/app", "vault-transit://transit/app2", False


@pytest.mark.parametrize(("pin", "recipient", "matches"), list(pins()))
def test_w10_a_pin_matches_what_the_table_says(pin: str, recipient: str, matches: bool) -> None:
    # Without its plugin, the names of a provider's keys match only when they are equal.
    installed = {entry.name for entry in find_entry_points()}
    if (provider := KeyUri.parse(recipient).provider) not in installed:
        pytest.skip(f"the plugin of {provider} is not installed")

    assert covers(KeyUri.parse(pin), KeyUri.parse(recipient)) is matches


def test_every_algorithm_of_the_vectors_stands_in_the_pages_table() -> None:
    text = PAGE.read_text()

    for vector in VECTORS:
        name = vector["algorithm"]
        assert f"`{name}`" in text or name.startswith("RSA_DECRYPT_OAEP_"), name

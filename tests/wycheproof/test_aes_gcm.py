"""AES-GCM: 316 vectors of keys of 128 to 256 bits and IVs of 0 to 2056 bits.

Those that fit a function of ours have its length of key and IV, and no AAD where it takes none:

- the wrapping under a key file or the OS keyring: 256-bit key, 96-bit IV;
- the local cipher of the Keeper protocol: likewise, and without AAD;
- files of Keeper's own packages: likewise, and an IV of 96 or 128 bits;
- the emulator of Azure Key Vault: any key, 96-bit IV; it refuses every other IV.

The sealing of an envelope does not fit: its key comes from a DEK by HKDF and its IV is constant,
so no vector can give either. The emulators of the other services bind a name of their own as AAD.
"""

from __future__ import annotations

from typing import cast

from ksm_storage_emulators.azure_key_vault.algorithms import Sealed, aes_decrypt
from ksm_storage_emulators.azure_key_vault.errors import VaultError

from ksm_storage.contract.key_wrapper import Aad, WrappedDek
from ksm_storage.errors import DecryptionError
from ksm_storage.providers.aes_gcm_wrapper import ALGORITHM, AesGcmWrapper
from ksm_storage.storage.plaintext_source import Blob, decrypt_blob
from ksm_storage.wire.aes import gcm_open
from tests.wycheproof.vectors import Vector, raw, run, vectors

ALL = vectors("Cipher/wycheproof/aes_gcm_test.json")
OURS = [v for v in ALL if (v["keySize"], v["ivSize"], v["tagSize"]) == (256, 96, 128)]


def test_the_package_has_the_vectors_that_are_counted_here() -> None:
    assert (len(ALL), len(OURS)) == (316, 66)


def test_the_wrapping_under_a_local_key() -> None:
    def unwrapped(vector: Vector) -> bytes:
        def key() -> bytes:
            return raw(vector, "key")

        wrapper = AesGcmWrapper("k", for_wrap=key, for_unwrap=key, kept_in={})
        wrapped = WrappedDek("k", ALGORITHM, raw(vector, "iv", "ct", "tag"))
        # Its AAD is a map, of which it takes the bytes; these are bytes already.
        return wrapper.unwrap(wrapped, aad=cast("Aad", raw(vector, "aad")))

    tally = run(OURS, unwrapped, expect="msg", refusal=DecryptionError)

    assert tally == {"valid": 39, "invalid": 27}


def test_the_cipher_of_the_keeper_protocol() -> None:
    chosen = [v for v in OURS if not v["aad"]]

    def opened(vector: Vector) -> bytes:
        return gcm_open(raw(vector, "key"), raw(vector, "iv", "ct", "tag"))

    assert run(chosen, opened, expect="msg", refusal=DecryptionError) == {
        "valid": 21,
        "invalid": 27,
    }


def test_files_of_keepers_own_packages() -> None:
    sizes = [v for v in ALL if v["keySize"] == 256 and v["ivSize"] in (96, 128)]
    chosen = [v for v in sizes if not v["aad"]]

    def opened(vector: Vector) -> bytes:
        parts = (raw(vector, "iv"), raw(vector, "tag"), raw(vector, "ct"))
        return decrypt_blob(Blob(b"", *parts), raw(vector, "key"))

    assert run(chosen, opened, expect="msg", refusal=DecryptionError) == {
        "valid": 40,
        "invalid": 27,
    }


def test_the_emulator_of_azure_key_vault() -> None:
    def decrypted(vector: Vector) -> bytes:
        sealed = Sealed(raw(vector, "ct"), raw(vector, "iv"), raw(vector, "tag"))
        name = f"A{vector['keySize']}GCM"
        return aes_decrypt(raw(vector, "key"), name, sealed, aad=raw(vector, "aad"))

    chosen = [v for v in ALL if v["ivSize"] == 96]
    others = [{**v, "result": "invalid"} for v in ALL if v["ivSize"] != 96]

    assert run(chosen, decrypted, expect="msg", refusal=VaultError) == {
        "valid": 116,
        "invalid": 81,
    }
    assert run(others, decrypted, expect="msg", refusal=VaultError) == {"invalid": 119}

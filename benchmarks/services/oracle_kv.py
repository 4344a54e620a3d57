"""OCI Vault: minimal scripts with Oracle's client and either credential, and the official class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.interleaved import Program, python
from benchmarks.services.service import Service, counting, official, require, variables

_MINIMAL = """
import oci
from oci.key_management import KmsCryptoClient
from oci.key_management.models import DecryptDataDetails
client = KmsCryptoClient({credentials})
details = DecryptDataDetails(key_id={ocid!r}, ciphertext={blob!r})
assert client.decrypt(details).data.plaintext
"""
_BY_KEY = "oci.config.from_file({config!r}), {url!r}"
_AS_INSTANCE = (
    "{{}}, {url!r}, signer=oci.auth.signers.InstancePrincipalsSecurityTokenSigner("
    "federation_endpoint={issuer!r})"
)
_OFFICIAL = """
from keeper_secrets_manager_storage_oracle_kms.oci_session_config import OCISessionConfig
from keeper_secrets_manager_storage_oracle_kms.oracle_key_value_storage import (
    OracleKeyValueStorage,
)
session = OCISessionConfig({config!r}, "DEFAULT", {url!r}, {url!r})
storage = OracleKeyValueStorage({ocid!r}, {version!r}, path, session, None)
"""


@contextmanager
def running(_folder: Path) -> Iterator[tuple[Service, Program]]:
    """Run the emulator with one AES key."""
    require("ksm_storage_oracle_kv", "ksm_storage_emulators", "oci")
    from ksm_storage_emulators.emulator import Emulator
    from ksm_storage_emulators.oci_vault.service import OciVaultService

    with Emulator(OciVaultService()) as emulator:
        wanted = {**emulator.environment(), "KSM_STORAGE_ORACLE_KV_ENDPOINT": emulator.url}
        key = emulator.service.create_key()
        config = wanted["OCI_CONFIG_FILE"]
        given = {"config": config, "url": emulator.url, "ocid": key.ocid}
        with variables(wanted):
            code = _OFFICIAL.format(**given, version=key.current.ocid)
            found = Service(
                "oracle-kv",
                "OCI Vault",
                f"oracle-kv://{key.ocid}",
                official("keeper_secrets_manager_storage_oracle_kms", code),
                "official OracleKeyValueStorage",
                counting(emulator),
            )
            blob = _encrypted(config, emulator.url, key.ocid)
            credentials = _BY_KEY.format(**given)
            minimal = _MINIMAL.format(credentials=credentials, ocid=key.ocid, blob=blob)
            yield found, python("floor: oci, one decrypt", "floor", minimal)


@contextmanager
def running_on_instance(_folder: Path) -> Iterator[tuple[Service, Program]]:
    """Run the emulator with one AES key, and with the services of an instance."""
    require("ksm_storage_oracle_kv", "ksm_storage_emulators", "oci")
    from ksm_storage_emulators.emulator import Emulator
    from ksm_storage_emulators.oci_vault.identities import Grant
    from ksm_storage_emulators.oci_vault.service import OciVaultService

    with Emulator(OciVaultService()) as emulator:
        emulator.service.instances.start([Grant("*")])
        url, issuer = emulator.url, f"{emulator.url}/v1/x509"
        config = emulator.environment()["OCI_CONFIG_FILE"]
        ocid = emulator.service.create_key().ocid
        wanted = {
            "OCI_METADATA_BASE_URL": f"{url}/opc/v2",
            "KSM_STORAGE_ORACLE_KV_CREDENTIAL": "instance-principal",
            "KSM_STORAGE_ORACLE_KV_ENDPOINT": url,
            "KSM_STORAGE_ORACLE_KV_FEDERATION_ENDPOINT": issuer,
        }
        with variables(wanted):
            found = Service("oracle-kv", "OCI Vault, instance principal", f"oracle-kv://{ocid}")
            credentials = _AS_INSTANCE.format(url=url, issuer=issuer)
            blob = _encrypted(config, url, ocid)
            minimal = _MINIMAL.format(credentials=credentials, ocid=ocid, blob=blob)
            yield found, python("floor: oci, one decrypt", "floor", minimal)


def _encrypted(config: str, url: str, ocid: str) -> str:
    import oci  # type: ignore[import-untyped]
    from oci.key_management import KmsCryptoClient  # type: ignore[import-untyped]
    from oci.key_management.models import EncryptDataDetails  # type: ignore[import-untyped]

    client = KmsCryptoClient(oci.config.from_file(config), url)
    # 32 zero bytes in base64, as the service takes them.
    details = EncryptDataDetails(key_id=ocid, plaintext="A" * 43 + "=")
    return str(client.encrypt(details).data.ciphertext)

"""OCI Vault: a minimal script with Oracle's client, and the official class."""

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
client = KmsCryptoClient(oci.config.from_file({config!r}), {url!r})
details = DecryptDataDetails(key_id={ocid!r}, ciphertext={blob!r})
assert client.decrypt(details).data.plaintext
"""
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
            minimal = _MINIMAL.format(**given, blob=blob)
            yield found, python("floor: oci, one decrypt", "floor", minimal)


def _encrypted(config: str, url: str, ocid: str) -> str:
    import oci  # type: ignore[import-untyped]
    from oci.key_management import KmsCryptoClient  # type: ignore[import-untyped]
    from oci.key_management.models import EncryptDataDetails  # type: ignore[import-untyped]

    client = KmsCryptoClient(oci.config.from_file(config), url)
    # 32 zero bytes in base64, as the service takes them.
    details = EncryptDataDetails(key_id=ocid, plaintext="A" * 43 + "=")
    return str(client.encrypt(details).data.ciphertext)

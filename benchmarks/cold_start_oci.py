"""OCI Vault: a minimal script with Oracle's client, ksm-storage, and the official class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cold_start_programs import official, ours, require, sealed, variables
from benchmarks.interleaved import Program, measure, print_table

if TYPE_CHECKING:
    from ksm_storage_emulators.emulator import Emulator
    from ksm_storage_emulators.oci_vault.service import OciVaultService

_MINIMAL = """
import oci
from oci.key_management import KmsCryptoClient
from oci.key_management.models import DecryptDataDetails
client = KmsCryptoClient(oci.config.from_file({config!r}), {url!r})
details = DecryptDataDetails(key_id={ocid!r}, ciphertext={blob!r})
assert client.decrypt(details).data.plaintext
"""
_OFFICIAL = """
from keeper_secrets_manager_core.configkeys import ConfigKeys
from keeper_secrets_manager_storage_oracle_kms.oci_session_config import OCISessionConfig
from keeper_secrets_manager_storage_oracle_kms.oracle_key_value_storage import (
    OracleKeyValueStorage,
)
session = OCISessionConfig({config!r}, "DEFAULT", {url!r}, {url!r})
storage = OracleKeyValueStorage({ocid!r}, {version!r}, {path!r}, session, None)
assert storage.get(ConfigKeys.KEY_HOSTNAME)
"""


def show(folder: Path) -> None:
    """Measure and print the table of OCI Vault."""
    require(
        "ksm_storage_oracle_kv",
        "ksm_storage_emulators",
        "keeper_secrets_manager_storage_oracle_kms",
    )
    from ksm_storage_emulators.emulator import Emulator
    from ksm_storage_emulators.oci_vault.service import OciVaultService

    with Emulator(OciVaultService()) as emulator:
        wanted = {**emulator.environment(), "KSM_STORAGE_ORACLE_KV_ENDPOINT": emulator.url}
        with variables(wanted):
            programs = _programs(folder, emulator)
            rows = measure(programs)
            print_table("OCI Vault: first value", rows, beside=programs[0].name)


def _programs(folder: Path, emulator: Emulator[OciVaultService]) -> list[Program]:
    key = emulator.service.create_key()
    config = emulator.environment()["OCI_CONFIG_FILE"]
    written = folder / "oci-official.json"
    given = {"config": config, "url": emulator.url, "ocid": key.ocid}
    return [
        Program(
            "minimal oci script, one decrypt",
            _MINIMAL.format(**given, blob=_encrypted(config, emulator.url, key.ocid)),
        ),
        ours(sealed(folder / "oci.json", f"oracle-kv://{key.ocid}"), "oracle-kv"),
        *official(
            "OracleKeyValueStorage",
            _OFFICIAL.format(**given, version=key.current.ocid, path=str(written)),
            package="keeper_secrets_manager_storage_oracle_kms",
            path=written,
        ),
    ]


def _encrypted(config: str, url: str, ocid: str) -> str:
    import oci  # type: ignore[import-untyped]
    from oci.key_management import KmsCryptoClient  # type: ignore[import-untyped]
    from oci.key_management.models import EncryptDataDetails  # type: ignore[import-untyped]

    client = KmsCryptoClient(oci.config.from_file(config), url)
    # 32 zero bytes in base64, as the service takes them.
    details = EncryptDataDetails(key_id=ocid, plaintext="A" * 43 + "=")
    return str(client.encrypt(details).data.ciphertext)

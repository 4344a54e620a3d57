"""Azure Key Vault: a minimal script with Microsoft's clients, ksm-storage, and the official class.

The vault's name and the sign-in host resolve to the emulator, in all three programs: in the
floor and the official one by a resolver of the script's, in ours by the option ``connect_to``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cold_start_programs import official, ours, require, sealed, variables
from benchmarks.interleaved import Program, measure, print_table

if TYPE_CHECKING:
    from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService
    from ksm_storage_emulators.emulator import Emulator

_RESOLVED = """
import socket
_real = socket.getaddrinfo
socket.getaddrinfo = lambda host, port, *more, **named: _real(
    "127.0.0.1", {port}, *more, **named)
"""
_MINIMAL = """
import os
from azure.core.rest import HttpRequest
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient
credential = ClientSecretCredential(
    os.environ["AZURE_TENANT_ID"], os.environ["AZURE_CLIENT_ID"],
    os.environ["AZURE_CLIENT_SECRET"], disable_instance_discovery=True)
client = KeyClient({vault!r}, credential)
body = {{"alg": "RSA-OAEP-256", "value": {wrapped!r}}}
reply = client.send_request(HttpRequest("POST", {path!r} + "/unwrapkey", json=body))
reply.raise_for_status()
assert reply.json()["value"]
"""
_OFFICIAL = """
import os
from keeper_secrets_manager_core.configkeys import ConfigKeys
from keeper_secrets_manager_storage.storage_azure_keyvault import (
    AzureKeyValueStorage, AzureSessionConfig,
)
session = AzureSessionConfig(
    os.environ["AZURE_TENANT_ID"], os.environ["AZURE_CLIENT_ID"],
    os.environ["AZURE_CLIENT_SECRET"])
assert AzureKeyValueStorage({key!r}, {path!r}, session).get(ConfigKeys.KEY_HOSTNAME)
"""


def show(folder: Path) -> None:
    """Measure and print the table of Azure Key Vault."""
    require("ksm_storage_azure_kv", "ksm_storage_emulators")
    from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService
    from ksm_storage_emulators.certificates import PrivateAuthority
    from ksm_storage_emulators.emulator import Emulator

    ca_file = folder / "azure-ca.pem"
    service = AzureKeyVaultService()
    with (
        Emulator(service, authority=PrivateAuthority(), ca_file=ca_file) as emulator,
        variables(_environment(emulator, ca_file)),
    ):
        programs = _programs(folder, emulator)
        rows = measure(programs)
        print_table("Azure Key Vault: first value", rows, beside=programs[0].name)


def _environment(emulator: Emulator[AzureKeyVaultService], ca_file: Path) -> Mapping[str, str]:
    found = dict(emulator.environment())
    # The official class validates an authority that is not Microsoft's own, so that one is used.
    del found["AZURE_AUTHORITY_HOST"]
    return {
        **found,
        "REQUESTS_CA_BUNDLE": str(ca_file),
        "KSM_STORAGE_AZURE_KV_CREDENTIAL": "client-secret",
        "KSM_STORAGE_AZURE_KV_TENANT_ID": found["AZURE_TENANT_ID"],
        "KSM_STORAGE_AZURE_KV_CLIENT_ID": found["AZURE_CLIENT_ID"],
        "KSM_STORAGE_AZURE_KV_CLIENT_SECRET": found["AZURE_CLIENT_SECRET"],
        "KSM_STORAGE_AZURE_KV_AUTHORITY_HOST": emulator.url,
    }


def _programs(folder: Path, emulator: Emulator[AzureKeyVaultService]) -> list[Program]:
    kid = emulator.service.create_key("bench").kid
    vault, _, rest = kid.partition("/keys/")
    path = sealed(folder / "azure.json", f"azure-kv://{kid}")
    written = folder / "azure-official.json"
    resolved = _RESOLVED.format(port=emulator.address.port)
    minimal = _MINIMAL.format(vault=vault, path=f"/keys/{rest}", wrapped=_wrapped(emulator))
    return [
        Program("minimal KeyClient script, one unwrapkey", resolved + minimal),
        ours(path, "azure-kv"),
        *official(
            "AzureKeyValueStorage",
            resolved + _OFFICIAL.format(key=kid, path=str(written)),
            package="keeper_secrets_manager_storage",
            path=written,
        ),
    ]


def _wrapped(emulator: Emulator[AzureKeyVaultService]) -> str:
    # What our own plugin sent is the request of the same size that the floor repeats.
    sent = [one for one in emulator.transcript.exchanges() if one.operation == "unwrapKey"]
    return str(json.loads(sent[-1].body)["value"])

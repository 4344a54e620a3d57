"""Azure Key Vault: a minimal script with Microsoft's clients, and the official class.

The vault's name and the sign-in host resolve to the emulator, in all three programs: in the
floor and the official one by a resolver of the script's, in ours by the option ``connect_to``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.interleaved import Program, python
from benchmarks.services.service import (
    Service,
    counting,
    official,
    require,
    sealed,
    variables,
)

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
from keeper_secrets_manager_storage.storage_azure_keyvault import (
    AzureKeyValueStorage, AzureSessionConfig,
)
session = AzureSessionConfig(
    os.environ["AZURE_TENANT_ID"], os.environ["AZURE_CLIENT_ID"],
    os.environ["AZURE_CLIENT_SECRET"])
storage = AzureKeyValueStorage({key!r}, path, session)
"""


@contextmanager
def running(folder: Path) -> Iterator[tuple[Service, Program]]:
    """Run the emulator with one RSA key."""
    require("ksm_storage_azure_kv", "ksm_storage_emulators")
    from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService
    from ksm_storage_emulators.certificates import PrivateAuthority
    from ksm_storage_emulators.emulator import Emulator

    ca_file = folder / "azure-ca.pem"
    service = AzureKeyVaultService()
    with (
        Emulator(service, authority=PrivateAuthority(), ca_file=ca_file) as emulator,
        variables(environment(emulator, ca_file)),
    ):
        kid = service.create_key("bench").kid
        resolved = _RESOLVED.format(port=emulator.address.port)
        code = resolved + _OFFICIAL.format(key=kid)
        found = Service(
            "azure-kv",
            "Azure Key Vault",
            f"azure-kv://{kid}",
            official("keeper_secrets_manager_storage", code),
            "official AzureKeyValueStorage",
            counting(emulator),
        )
        yield found, _floor(found, emulator, folder, resolved)


def environment(emulator: Emulator[AzureKeyVaultService], ca_file: Path) -> Mapping[str, str]:
    """Return the variables under which our plugin and Microsoft's clients sign in."""
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


def _floor(
    found: Service, emulator: Emulator[AzureKeyVaultService], folder: Path, resolved: str
) -> Program:
    # What our own plugin sends is the request of the same size that the floor repeats.
    sealed(folder / "azure-floor.json", found.key)
    sent = [one for one in emulator.transcript.exchanges() if one.operation == "unwrapKey"]
    wrapped = str(json.loads(sent[-1].body)["value"])
    vault, _, rest = found.key.partition("://")[2].partition("/keys/")
    code = _MINIMAL.format(vault=vault, path=f"/keys/{rest}", wrapped=wrapped)
    return python("floor: KeyClient, one unwrapkey", "floor", resolved + code)

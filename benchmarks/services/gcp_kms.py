"""Google Cloud KMS: a minimal script with Google's client, and the official class.

Both speak gRPC over TLS to the emulator, with the token of a service account's key file. Beside
them, ours and the script with a federation file whose token is in a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.interleaved import Program, python
from benchmarks.services.service import Service, counting, official, require, variables

_CLIENT = """
from pathlib import Path
import grpc
from google.auth.transport.requests import Request
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import (
    KeyManagementServiceGrpcTransport,
)
{credentials}
credentials.refresh(Request())
channel = grpc.secure_channel({address!r}, grpc.composite_channel_credentials(
    grpc.ssl_channel_credentials(Path({ca_file!r}).read_bytes()),
    grpc.access_token_call_credentials(credentials.token)))
transport = KeyManagementServiceGrpcTransport(channel=channel)
"""
_ACCOUNT = """
from google.oauth2 import service_account
credentials = service_account.Credentials.from_service_account_file(
    {key_file!r}, scopes=["https://www.googleapis.com/auth/cloudkms"])
"""
_FEDERATED = """
from google.auth import identity_pool
credentials = identity_pool.Credentials.from_file(
    {key_file!r}, scopes=["https://www.googleapis.com/auth/cloud-platform"])
"""
_MINIMAL = """
client = kms_v1.KeyManagementServiceClient(transport=transport)
reply = client.decrypt(request={{"name": {name!r}, "ciphertext": bytes.fromhex({blob!r})}})
assert reply.plaintext
"""
_OFFICIAL = """
from keeper_secrets_manager_storage_gcp_kms.kms_client import GCPKMSClientConfig
from keeper_secrets_manager_storage_gcp_kms.kms_key_config import GCPKeyConfig
from keeper_secrets_manager_storage_gcp_kms.storage_gcp_kms import GCPKeyValueStorage
class Client(kms_v1.KeyManagementServiceClient):
    # The emulator leaves out the version template, which the class reads.
    def get_crypto_key(self, *given, **more):
        key = super().get_crypto_key(*given, **more)
        key.version_template = kms_v1.CryptoKeyVersionTemplate(
            algorithm="GOOGLE_SYMMETRIC_ENCRYPTION")
        return key
session = GCPKMSClientConfig()
session.kms_client = Client(transport=transport)
storage = GCPKeyValueStorage(
    path, GCPKeyConfig({name!r} + "/cryptoKeyVersions/1"), session)
"""


@contextmanager
def running(folder: Path) -> Iterator[tuple[Service, Program]]:
    """Run the emulator with one symmetric key and a service account."""
    with _running(folder, _ACCOUNT) as (found, name, client):
        code = client + _OFFICIAL.format(name=name)
        official_code = official("keeper_secrets_manager_storage_gcp_kms", code)
        yield found._replace(official=official_code), _floor(client, name)


@contextmanager
def running_federated(folder: Path) -> Iterator[tuple[Service, Program]]:
    """Run it with a federation file that impersonates an account."""
    with _running(folder, _FEDERATED) as (found, name, client):
        yield found._replace(title=f"{found.title}, federation"), _floor(client, name)


@contextmanager
def _running(folder: Path, credentials: str) -> Iterator[tuple[Service, str, str]]:
    """Return the service, the name of its key, and the head of a script with Google's client."""
    require("ksm_storage_gcp_kms", "ksm_storage_emulators")
    from ksm_storage_emulators.certificates import PrivateAuthority
    from ksm_storage_emulators.emulator import Emulator
    from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR, GcpKmsService

    authority, ca_file = PrivateAuthority(), folder / "gcp-ca.pem"
    service = GcpKmsService(authority=authority)
    with Emulator(service, authority=authority, ca_file=ca_file) as emulator:
        key_file = folder / "account.json"
        if credentials is _ACCOUNT:
            service.write_key_file(key_file, url=emulator.url)
        else:
            pool = service.endpoints.workload_identity
            service.policy.grant(pool.member(), ["iam.serviceAccounts.getAccessToken"])
            token = folder / "token"
            token.write_text(pool.token(), encoding="utf-8")
            file = pool.credentials_file(str(token), url=emulator.url, account=ADMINISTRATOR)
            key_file.write_text(file, encoding="utf-8")
        wanted = {
            **emulator.environment(),
            "REQUESTS_CA_BUNDLE": str(ca_file),
            "KSM_STORAGE_GCP_KMS_CREDENTIALS_FILE": str(key_file),
        }
        client = _CLIENT.format(
            credentials=credentials.format(key_file=str(key_file)),
            address=service.grpc_address,
            ca_file=str(ca_file),
        )
        name = service.create_key("bench").name
        with variables(wanted):
            found = Service(
                "gcp-kms",
                "Google Cloud KMS",
                f"gcp-kms://{name}",
                official_name="official GCPKeyValueStorage",
                counted=counting(emulator),
            )
            yield found, name, client


def _floor(client: str, name: str) -> Program:
    minimal = client + _MINIMAL.format(name=name, blob=_encrypted(client, name))
    return python("floor: google-cloud-kms, one Decrypt", "floor", minimal)


def _encrypted(client: str, name: str) -> str:
    # The same script's head makes what the floor decrypts.
    found: dict[str, object] = {}
    exec(  # the code is a constant of this file
        client
        + "client = kms_v1.KeyManagementServiceClient(transport=transport)\n"
        + f"blob = client.encrypt(request={{'name': {name!r}, 'plaintext': bytes(32)}})\n"
        + "sealed = blob.ciphertext.hex()\n",
        found,
    )
    return str(found["sealed"])

"""The strict emulator of Cloud KMS, and the client library's own client for setting keys up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from google.cloud import kms_v1
from google.protobuf import field_mask_pb2
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR, GcpKmsService

_WIRE_FAULTS = {
    "throttled": FaultKind.THROTTLE,
    "failing": FaultKind.ERROR,
    "dropped": FaultKind.DROP,
    "cut off": FaultKind.TRUNCATE,
    "damaged": FaultKind.WRONG_CHECKSUM,
}


class EmulatedKms:
    """Hold a running emulator with an administrator's key file; keys last as long as it does."""

    def __init__(self, folder: Path, *, authority: PrivateAuthority | None = None) -> None:
        self.ca_file = None if authority is None else folder / "ca.pem"
        self.service = GcpKmsService(authority=authority)
        self.emulator = Emulator(self.service, authority=authority, ca_file=self.ca_file)
        self._folder = folder

    def prepare(self) -> None:
        """Write the key file, once the emulator runs."""
        self.key_file = self.write_key_file("administrator.json")

    @property
    def url(self) -> str:
        """The URL of the gRPC side."""
        scheme = "http" if self.ca_file is None else "https"
        return f"{scheme}://{self.service.grpc_address}"

    @property
    def settings(self) -> dict[str, object]:
        """What the plugin needs to call as the administrator."""
        given: dict[str, object] = {"endpoint": self.url, "iam_endpoint": self.emulator.url}
        if self.ca_file is not None:
            given["ca_file"] = str(self.ca_file)
        return {**given, "credential": "service-account", "credentials_file": str(self.key_file)}

    def write_key_file(self, name: str, email: str | None = None) -> Path:
        """Write the key file of a new account, or of the administrator."""
        account = None if email is None else self.service.tokens.add_account(email)
        return self.service.write_key_file(
            self._folder / name, url=self.emulator.url, account=account
        )

    def write_federation(self, name: str, *, account: str | None = None, **members: object) -> Path:
        """Write a federation file, the token in a file beside it; its subject may do everything.

        Args:
            name: The name of the file.
            account: A new account that the subject impersonates, and that does everything instead.
            members: Those of the file that are to be other ones.
        """
        pool, policy = self.service.endpoints.workload_identity, self.service.policy
        policy.revoke(pool.member())
        policy.grant(
            pool.member(), ["*" if account is None else "iam.serviceAccounts.getAccessToken"]
        )
        if account is not None:
            self.service.tokens.add_account(account)
            policy.grant(account, ["*"])
        (self._folder / "token").write_text(pool.token())
        path = self._folder / name
        path.write_text(
            pool.credentials_file(
                str(self._folder / "token"), url=self.emulator.url, account=account, **members
            )
        )
        return path

    def create_key(self, **arguments: Any) -> Any:
        """Return a new key; the arguments are the service's ``create_key``."""
        return self.service.create_key(f"key-{uuid4().hex}", **arguments)

    def calls(self) -> int:
        """Return how many requests came since the last reset, those for tokens included."""
        return sum(self.emulator.transcript.calls().values())

    def set_state(self, version: str, state: str) -> None:
        """Enable or disable a version over the wire."""
        wanted = kms_v1.CryptoKeyVersion(name=version, state=state)
        mask = field_mask_pb2.FieldMask(paths=["state"])
        request = {"crypto_key_version": wanted, "update_mask": mask}
        self._administer("update_crypto_key_version", request)

    def destroy(self, version: str) -> None:
        """Schedule the destruction of a version."""
        self._administer("destroy_crypto_key_version", {"name": version})

    def restore(self, version: str) -> None:
        """Take it back and enable the version."""
        self._administer("restore_crypto_key_version", {"name": version})
        self.set_state(version, "ENABLED")

    @contextmanager
    def provoked(self, fault: str, version: str) -> Iterator[None]:
        """Let the service fail for one version, or for everybody, while the context lasts."""
        if fault == "disabled":
            self.set_state(version, "DISABLED")
            yield
            self.set_state(version, "ENABLED")
        elif fault == "to be destroyed":
            self.destroy(version)
            yield
            self.restore(version)
        elif fault == "denied":
            self.service.policy.revoke(ADMINISTRATOR)
            yield
            self.service.policy.grant(ADMINISTRATOR, ["*"])
        else:
            self.emulator.faults.add(_WIRE_FAULTS[fault])
            yield
            self.emulator.faults.clear()

    def _administer(self, method: str, request: dict[str, object]) -> None:
        import grpc
        from google.cloud.kms_v1.services.key_management_service.transports import (
            KeyManagementServiceGrpcTransport,
        )

        token = self.service.tokens.issue(
            ADMINISTRATOR, frozenset(["https://www.googleapis.com/auth/cloudkms"])
        )
        target = self.service.grpc_address
        if self.ca_file is None:
            channel = grpc.insecure_channel(target)
        else:
            credentials = grpc.ssl_channel_credentials(self.ca_file.read_bytes())
            channel = grpc.secure_channel(target, credentials)
        with kms_v1.KeyManagementServiceClient(
            transport=KeyManagementServiceGrpcTransport(channel=channel)
        ) as client:
            getattr(client, method)(
                request=request, metadata=[("authorization", f"Bearer {token}")]
            )

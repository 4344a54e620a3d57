"""Rotate, disable and enable the keys of the emulators, as an administrator does beside us."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from ksm_storage_emulators.gcp_kms.keys import State


class Administrator(Protocol):
    """Hold a key of a service."""

    def switch(self, *, on: bool) -> None:
        """Enable or disable the key with all its versions."""


@runtime_checkable
class Rotates(Administrator, Protocol):
    """Hold a key that has versions; those of PKCS #11 have none."""

    def rotate(self) -> None:
        """Give the key a new version, or new material."""


class AwsAdministrator:
    """Administer a key of AWS KMS."""

    def __init__(self, service: Any, uri: str) -> None:
        self._key = service._store.by_arn(uri.partition("://")[2])
        self._clock = service.clock

    def rotate(self) -> None:
        """Add material."""
        from ksm_storage_emulators.aws_kms.keys import new_material

        material = new_material(self._clock.now(), rotation="ON_DEMAND")
        self._key.lineage.materials.append(material)

    def switch(self, *, on: bool) -> None:
        """Set the key's state."""
        self._key.state = "Enabled" if on else "Disabled"


class AzureAdministrator:
    """Administer a key of Azure Key Vault."""

    def __init__(self, service: Any, uri: str) -> None:
        host, _, self._name = uri.partition("https://")[2].partition("/keys/")
        self._vault = service.store._vaults[host]
        self._service = service

    def rotate(self) -> None:
        """Add a version."""
        self._service.create_key(self._name, vault=self._vault)

    def switch(self, *, on: bool) -> None:
        """Set the state of each version."""
        for version in self._vault.keys[self._name].versions:
            version.enabled = on


class GcpAdministrator:
    """Administer a key of Google Cloud KMS."""

    def __init__(self, service: Any, uri: str) -> None:
        self._key = service._store.key(uri.partition("://")[2])
        self._service = service

    def rotate(self) -> None:
        """Add a version and make it the primary one."""
        self._service.rotate(self._key)

    def switch(self, *, on: bool) -> None:
        """Set the state of each version."""
        for version in self._key.versions:
            version.state = State.ENABLED if on else State.DISABLED


class OciAdministrator:
    """Administer a key of OCI Vault."""

    def __init__(self, service: Any, uri: str) -> None:
        self._key = service.vault.find(uri.partition("://")[2])
        self._clock = service.clock

    def rotate(self) -> None:
        """Add a version."""
        self._key.rotate(self._clock.now())

    def switch(self, *, on: bool) -> None:
        """Set the key's state."""
        self._key.state = "ENABLED" if on else "DISABLED"


ADMINISTRATORS: dict[str, type[Any]] = {
    "aws-kms": AwsAdministrator,
    "azure-kv": AzureAdministrator,
    "gcp-kms": GcpAdministrator,
    "oracle-kv": OciAdministrator,
}

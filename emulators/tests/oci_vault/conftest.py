"""Oracle's clients of a fresh vault."""

from __future__ import annotations

from typing import Any

import oci
import pytest
from oci.key_management import KmsCryptoClient, KmsManagementClient

from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.oci_vault.identities import REGION_NAME, Credential
from ksm_storage_emulators.oci_vault.service import OciVaultService

OciVault = Emulator[OciVaultService]


class Clients:
    """Make clients for one emulator; they do not retry."""

    # Long, for a machine that is busy; a test of what hangs shortens it.
    seconds = 10.0

    def __init__(self, emulator: OciVault) -> None:
        self._emulator = emulator

    def crypto(self, credential: Credential | None = None) -> Any:
        return self._made(KmsCryptoClient, credential)

    def management(self, credential: Credential | None = None) -> Any:
        return self._made(KmsManagementClient, credential)

    def _made(self, kind: Any, credential: Credential | None) -> Any:
        service = self._emulator.service
        chosen = credential or service.administrator
        config = {
            "tenancy": service.identities.tenancy,
            "user": chosen.user,
            "fingerprint": chosen.fingerprint,
            "key_content": chosen.pem().decode(),
            "region": REGION_NAME,
        }
        breaker = oci.circuit_breaker.NoCircuitBreakerStrategy()
        arguments = {"circuit_breaker_strategy": breaker, "timeout": (self.seconds, self.seconds)}
        if chosen.expires_at is not None:
            private_key = oci.signer.load_private_key(chosen.pem(), None)
            signer = oci.auth.signers.SecurityTokenSigner(chosen.token, private_key)
            return kind({}, self._emulator.url, signer=signer, **arguments)
        return kind(config, self._emulator.url, **arguments)


@pytest.fixture
def clients(oci_vault: OciVault) -> Clients:
    return Clients(oci_vault)


@pytest.fixture
def crypto(clients: Clients) -> Any:
    return clients.crypto()


@pytest.fixture
def management(clients: Clients) -> Any:
    return clients.management()


@pytest.fixture
def key_id(oci_vault: OciVault) -> str:
    return oci_vault.service.create_key().ocid

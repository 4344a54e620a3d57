"""Emulated key services, led to by the environment, for our plugins and the official classes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ksm_storage_emulators.emulator import Emulator

_numbers = itertools.count(1)


class Aws:
    """Be the AWS KMS of this process."""

    def __init__(self, emulator: Emulator[Any], patch: pytest.MonkeyPatch) -> None:
        self.emulator = emulator
        self._patch = patch
        for name, value in emulator.environment().items():
            patch.setenv(name, value)
        patch.setenv("KSM_STORAGE_AWS_KMS_ENDPOINT", emulator.url)
        self._forget_the_session()

    def new_key(self, **arguments: Any) -> str:
        """Return the ARN of a new key."""
        return str(self.emulator.service.create_key(**arguments).arn)

    def new_user(self, *statements: Any) -> Any:
        """Return the access key of a new user who may do what the statements allow."""
        return self.emulator.service.identities.add_user(f"user{next(_numbers)}", statements)

    def call_as(self, user: Any) -> None:
        """Let all calls be made by a user."""
        self._patch.setenv("AWS_ACCESS_KEY_ID", user.access_key_id)
        self._patch.setenv("AWS_SECRET_ACCESS_KEY", user.secret_access_key)
        self._forget_the_session()

    def calls(self) -> dict[str, int]:
        """Return how often each operation was called since the last reset."""
        return dict(self.emulator.transcript.calls())

    def _forget_the_session(self) -> None:
        import boto3

        self._patch.setattr(boto3, "DEFAULT_SESSION", None)


class Azure:
    """Be the Azure Key Vault and the Managed HSM of this process."""

    def __init__(self, emulator: Emulator[Any], patch: pytest.MonkeyPatch) -> None:
        self.emulator = emulator
        self.service = emulator.service
        application = self.service.administrator
        self.credentials = (
            self.service.directory.tenant_id,
            application.principal.client_id,
            application.secret,
        )
        names = ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")
        settings = dict(zip(names, self.credentials, strict=True))
        settings |= {"CREDENTIAL": "client-secret", "AUTHORITY_HOST": emulator.url}
        for name, value in settings.items():
            patch.setenv(f"KSM_STORAGE_AZURE_KV_{name}", value)
        for name, value in emulator.environment().items():
            patch.setenv(name, value)
        self.ca_file = emulator.environment()["KSM_STORAGE_AZURE_KV_CA_FILE"]

    def new_key(self) -> Any:
        """Return the first version of a new RSA key, in a vault that no client has called yet."""
        vault = self.service.add_vault(f"other{next(_numbers)}")
        return self.service.create_key("app", vault=vault)

    def rotate(self, key: str) -> Any:
        """Return a new version of a key."""
        vault = self.service.store.of_host(key.split("/")[2])
        return self.service.create_key("app", vault=vault)

    def new_hsm_key(self) -> Any:
        """Return the first version of a new AES key in a managed HSM of its own."""
        hsm = self.service.add_managed_hsm(f"other{next(_numbers)}")
        return self.service.create_key("app", vault=hsm, kty="oct-HSM")

    def redirections(self, key: str) -> dict[str, dict[str, object]]:
        """Return what Azure's own classes must be given to come here and not to Azure."""
        from ksm_storage_azure_kv.hooks import Access, key_wrapper_options
        from ksm_storage_azure_kv.transport import make_transport

        from ksm_storage.contract.key_wrapper import KeyUri
        from ksm_storage.keys.setting_sources import gather_settings

        settings = gather_settings(KeyUri("azure-kv", key), key_wrapper_options(), {})
        transport = make_transport(key.split("/")[2], Access.from_settings(settings))
        authority = {"authority": self.emulator.url, "disable_instance_discovery": True}
        return {
            "CryptographyClient": {"transport": transport},
            "ClientSecretCredential": authority,
        }

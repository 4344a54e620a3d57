"""What the client's own classes for cryptography do, and why the plugin does not use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient, KeyVaultKey
from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm
from ksm_storage_azure_kv.hooks import Access
from ksm_storage_azure_kv.hooks import key_wrapper_options as options
from ksm_storage_azure_kv.transport import make_transport

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import KeyStateError
from ksm_storage.keys.setting_sources import gather_settings

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek

DEK = bytes(range(32))
RSA = KeyWrapAlgorithm.rsa_oaep_256


class Sdk:
    """The client library as its documentation uses it, sent to the emulator at the connection."""

    def __init__(self, emulator: EmulatedVault, host: str) -> None:
        uri = KeyUri("azure-kv", f"https://{host}/keys/any")
        settings = gather_settings(uri, options(), {"azure-kv": emulator.settings})
        directory, application = emulator.service.directory, emulator.service.administrator
        self._common: Mapping[str, Any] = {
            "transport": make_transport(host, Access.from_settings(settings))
        }
        self._credential = ClientSecretCredential(
            directory.tenant_id,
            application.principal.client_id,
            application.secret,
            authority=emulator.url,
            disable_instance_discovery=True,
            **self._common,
        )
        self.keys = KeyClient(f"https://{host}", self._credential, **self._common)

    def cryptography(self, key: KeyVaultKey | str) -> CryptographyClient:
        """Return the client that its documentation tells to wrap with."""
        return CryptographyClient(key, self._credential, **self._common)


def test_the_clients_wrap_under_an_aes_key_of_an_hsm_loses_the_dek(
    emulator: EmulatedVault,
) -> None:
    hsm = emulator.new_hsm()
    key = emulator.new_key(hsm)
    sdk = Sdk(emulator, hsm.host)

    lost = sdk.cryptography(key.kid).wrap_key(KeyWrapAlgorithm.aes_256, DEK)

    # No request to wrap was made: it took a key that it made up and has forgotten.
    assert "wrapKey" not in emulator.emulator.transcript.calls()
    with pytest.raises(HttpResponseError):
        sdk.keys.send_request(_unwrap_request(key.kid, lost.encrypted_key)).raise_for_status()
    with open_kek(key.kid, emulator.settings) as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_the_clients_wrap_under_a_disabled_key_succeeds_without_a_call(
    emulator: EmulatedVault,
) -> None:
    vault = emulator.new_vault()
    key = emulator.new_key(vault)
    sdk = Sdk(emulator, vault.host)
    public = sdk.keys.get_key(key.kid.split("/")[4])
    key.enabled = False
    emulator.emulator.transcript.reset()

    sdk.cryptography(public).wrap_key(RSA, DEK)

    assert emulator.emulator.transcript.calls() == {}
    with open_kek(key.kid, emulator.settings) as kek, pytest.raises(KeyStateError):
        kek.wrap(DEK, aad=AAD)


def test_the_clients_wrap_under_an_expired_key_is_no_error_of_the_service(
    emulator: EmulatedVault,
) -> None:
    vault = emulator.new_vault()
    key = emulator.new_key(vault)
    key.expires = int(emulator.service.clock.now()) - 1
    sdk = Sdk(emulator, vault.host)

    with pytest.raises(ValueError, match="expired"):
        sdk.cryptography(sdk.keys.get_key(key.kid.split("/")[4])).wrap_key(RSA, DEK)
    with open_kek(key.kid, emulator.settings) as kek, pytest.raises(KeyStateError):
        kek.wrap(DEK, aad=AAD)


def test_a_key_id_without_version_opens_nothing_after_a_rotation_with_the_client(
    emulator: EmulatedVault,
) -> None:
    vault = emulator.new_vault()
    name = emulator.new_key(vault, name="app").kid.rpartition("/")[0]
    sdk = Sdk(emulator, vault.host)
    with open_kek(name, emulator.settings) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        emulator.new_key(vault, name="app")

        with pytest.raises(HttpResponseError):
            sdk.cryptography(name).unwrap_key(RSA, recorded.ciphertext)
        assert kek.unwrap(recorded, aad=AAD) == DEK


def test_the_clients_unwrap_asks_for_the_key_first(emulator: EmulatedVault) -> None:
    vault = emulator.new_vault()
    key = emulator.new_key(vault)
    with open_kek(key.kid, emulator.settings) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        emulator.emulator.transcript.reset()
        kek.unwrap(recorded, aad=AAD)
        assert emulator.emulator.transcript.calls() == {"unwrapKey": 1}

    Sdk(emulator, vault.host).cryptography(key.kid).unwrap_key(RSA, recorded.ciphertext)

    assert emulator.emulator.transcript.count("get") == 1


def _unwrap_request(kid: str, wrapped: bytes) -> Any:
    from azure.core.rest import HttpRequest
    from ksm_storage_emulators.json_web_token import encode

    path = "/" + kid.split("/", 3)[3]
    return HttpRequest(
        "POST", f"{path}/unwrapkey", json={"alg": "A256KW", "value": encode(wrapped)}
    )

"""What goes wrong before a reply comes: the network, TLS, and the client's own settings."""

from __future__ import annotations

import socket
from pathlib import Path

import oci.exceptions
import pytest
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.oci_vault.identities import write_config
from ksm_storage_emulators.oci_vault.service import OciVaultService

from ksm_storage.errors import ProviderError, SettingsError, UnavailableError

from .opening import AAD, open_kek
from .scripted_vault import DEK, KEY


@pytest.fixture
def nobody() -> str:
    """The URL of a port on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_a_host_that_refuses_is_unavailable(nobody: str, config_file: Path) -> None:
    with (
        open_kek(KEY, nobody, deadline=1.0) as kek,
        pytest.raises(UnavailableError, match="cannot reach"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_host_without_an_address_is_unavailable(config_file: Path) -> None:
    with (
        open_kek(KEY, "https://vault.invalid", deadline=1.0) as kek,
        pytest.raises(UnavailableError, match=r"cannot resolve the hostname 'vault\.invalid'"),
    ):
        kek.wrap(DEK, aad=AAD)


class SecureVault:
    """A vault behind TLS with a private authority."""

    def __init__(self, directory: Path, authority: PrivateAuthority) -> None:
        self.ca_file = directory / "ca.pem"
        self.emulator = Emulator(OciVaultService(), authority=authority, ca_file=self.ca_file)
        service = self.emulator.service
        self.key = service.create_key().ocid
        self.config = write_config(
            directory, service.administrator, tenancy=service.identities.tenancy
        )


@pytest.fixture
def secure(tmp_path: Path, emulator_authority: PrivateAuthority) -> SecureVault:
    return SecureVault(tmp_path, emulator_authority)


@pytest.fixture
def other_ca(tmp_path: Path) -> Path:
    path = tmp_path / "other.pem"
    path.write_bytes(PrivateAuthority().certificate_pem)
    return path


def test_a_private_authority_is_trusted_by_the_option(secure: SecureVault) -> None:
    with secure.emulator:
        settings = {"config_file": str(secure.config), "ca_file": str(secure.ca_file)}
        with open_kek(secure.key, secure.emulator.url, **settings) as kek:
            assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_option_goes_before_the_environment(
    secure: SecureVault, other_ca: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(other_ca))

    with secure.emulator:
        settings = {"config_file": str(secure.config), "ca_file": str(secure.ca_file)}
        with open_kek(secure.key, secure.emulator.url, **settings) as kek:
            assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_the_environment_does_not_loosen_the_option(
    secure: SecureVault, other_ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(secure.ca_file))

    with secure.emulator:
        settings = {"config_file": str(secure.config), "ca_file": str(other_ca)}
        with (
            open_kek(secure.key, secure.emulator.url, **settings) as kek,
            pytest.raises(ProviderError, match="not trusted"),
        ):
            kek.wrap(DEK, aad=AAD)


def test_without_the_option_the_environment_says_whom_to_trust(
    secure: SecureVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(secure.ca_file))

    with secure.emulator:
        settings = {"config_file": str(secure.config)}
        with open_kek(secure.key, secure.emulator.url, **settings) as kek:
            assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_a_certificate_that_is_not_trusted_is_tried_once(secure: SecureVault) -> None:
    with secure.emulator:
        settings = {"config_file": str(secure.config), "deadline": 30.0}
        with (
            open_kek(secure.key, secure.emulator.url, **settings) as kek,
            pytest.raises(ProviderError, match="not trusted") as caught,
        ):
            kek.wrap(DEK, aad=AAD)

    assert type(caught.value) is ProviderError
    assert "'ca_file'" in str(caught.value.hint)


@pytest.mark.parametrize("content", [b"no certificate\n", b"-----BEGIN CERTIFICATE-----\nAA"])
def test_a_file_of_authorities_without_any_is_a_settings_error(
    secure: SecureVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_bytes(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(empty))

    with pytest.raises(SettingsError, match="of the environment variable REQUESTS_CA_BUNDLE"):
        open_kek(secure.key, "https://127.0.0.1:1", config_file=str(secure.config))


def test_a_file_of_authorities_that_does_not_exist_is_a_settings_error(
    secure: SecureVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/ca.pem")

    with pytest.raises(SettingsError, match="of the environment variable REQUESTS_CA_BUNDLE"):
        open_kek(secure.key, "https://127.0.0.1:1", config_file=str(secure.config))


def test_a_service_that_is_switched_off_is_a_settings_error(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = oci.exceptions.InvalidDeveloperToolConfiguration("off")

    def create(*_: object, **__: object) -> None:
        raise refused

    monkeypatch.setattr("ksm_storage_oracle_kv.sdk_client.KmsCryptoClient", create)

    with open_kek(KEY, "http://127.0.0.1:1") as kek, pytest.raises(SettingsError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert caught.value.__cause__ is refused

"""Each kind of credential, and what is said when there is none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.oci_vault.identities import Credential, Grant, write_config

from ksm_storage.errors import (
    AuthenticationError,
    KsmStorageError,
    PermissionDeniedError,
    SettingsError,
    UnavailableError,
)

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import DEK, KEY, ScriptedVault


def _written(directory: Path, emulator: EmulatedVault, credential: Credential) -> Path:
    return write_config(directory, credential, tenancy=emulator.service.identities.tenancy)


def _session(emulator: EmulatedVault, *, seconds: float = 3600.0) -> Credential:
    service = emulator.service
    return service.identities.issue_session(service.administrator.principal, seconds=seconds)


@pytest.fixture
def encrypted(emulator: EmulatedVault, tmp_path: Path) -> dict[str, object]:
    """A configuration file whose key has a passphrase."""
    service = emulator.service
    path = write_config(
        tmp_path, service.administrator, tenancy=service.identities.tenancy, passphrase="hunter2"
    )
    return {"config_file": str(path)}


def _wraps(emulator: EmulatedVault, **settings: object) -> bool:
    with open_kek(emulator.create_key(), emulator.url, **settings) as kek:
        return kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_the_default_is_the_clients_configuration_file(emulator: EmulatedVault) -> None:
    assert _wraps(emulator)


def test_a_configuration_file_in_the_home_directory_is_found(
    emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OCI_CONFIG_FILE")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".oci").mkdir()
    _written(tmp_path / ".oci", emulator, emulator.service.administrator)

    assert _wraps(emulator)


@pytest.mark.parametrize("direct_call", [True, False], ids=["direct", "client"])
def test_the_file_in_the_home_directory_goes_before_the_variable(
    emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, direct_call: bool
) -> None:
    with open_kek(emulator.create_key(), emulator.url) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        key = kek.uri.key_id
    stranger = emulator.service.identities.add_user([Grant("KEY_READ")])
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".oci").mkdir()
    _written(tmp_path / ".oci", emulator, stranger)

    with (
        open_kek(key, emulator.url, direct_call=direct_call) as kek,
        pytest.raises(PermissionDeniedError),
    ):
        kek.unwrap(recorded, aad=AAD)


def test_a_profile_is_chosen_by_its_name(
    emulator: EmulatedVault, config_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    path.write_text(config_file.read_text().replace("[DEFAULT]", "[APP]"))

    assert _wraps(emulator, config_file=str(path), profile="APP")


def test_a_profile_without_a_region_is_enough(
    emulator: EmulatedVault, config_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    lines = config_file.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("region")))

    assert _wraps(emulator, config_file=str(path))


@pytest.mark.parametrize("given", ["hunter2", lambda: "hunter2"], ids=["text", "function"])
def test_a_passphrase_opens_the_private_key(
    emulator: EmulatedVault, encrypted: dict[str, object], given: object
) -> None:
    assert _wraps(emulator, passphrase=given, **encrypted)


@pytest.mark.parametrize("given", [None, "hunter3"], ids=["none", "wrong"])
def test_a_missing_or_wrong_passphrase_is_an_authentication_error(
    emulator: EmulatedVault, encrypted: dict[str, object], given: str | None
) -> None:
    with pytest.raises(AuthenticationError, match="passphrase") as caught:
        _wraps(emulator, passphrase=given, **encrypted)

    assert "hunter" not in str(caught.value.as_dict())
    assert emulator.calls() == 0


def test_a_function_for_a_passphrase_is_called_when_it_is_needed(
    emulator: EmulatedVault, encrypted: dict[str, object]
) -> None:
    def refuse() -> str:
        raise AssertionError("called too early")

    open_kek(KEY, emulator.url, passphrase=refuse, **encrypted).close()


def test_a_security_token_signs(emulator: EmulatedVault, tmp_path: Path) -> None:
    path = _written(tmp_path, emulator, _session(emulator))

    assert _wraps(emulator, credential="security-token", config_file=str(path))


def test_a_security_token_that_was_renewed_is_read_again(
    emulator: EmulatedVault, tmp_path: Path
) -> None:
    path = _written(tmp_path, emulator, _session(emulator, seconds=60.0))
    settings = {"credential": "security-token", "config_file": str(path)}
    with open_kek(emulator.create_key(), emulator.url, **settings) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        emulator.emulator.clock.advance(61.0)
        with pytest.raises(AuthenticationError) as caught:
            kek.unwrap(recorded, aad=AAD)
        _written(tmp_path, emulator, _session(emulator))

        assert kek.unwrap(recorded, aad=AAD) == DEK
    assert "oci session authenticate" in str(caught.value.hint)


def test_a_security_token_that_was_renewed_while_idle_fails_no_call(
    emulator: EmulatedVault, tmp_path: Path
) -> None:
    path = _written(tmp_path, emulator, _session(emulator, seconds=60.0))
    settings = {"credential": "security-token", "config_file": str(path)}
    with open_kek(emulator.create_key(), emulator.url, **settings) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        emulator.emulator.clock.advance(61.0)
        _written(tmp_path, emulator, _session(emulator))

        assert kek.unwrap(recorded, aad=AAD) == DEK


def test_a_resource_principal_signs(
    emulator: EmulatedVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _as_resource(_session(emulator), tmp_path, monkeypatch)

    assert _wraps(emulator, credential="resource-principal")


def test_an_instance_signs_with_the_token_that_it_was_issued(
    emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.service.instances.start([Grant("KEY_ENCRYPT"), Grant("KEY_DECRYPT")])
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{emulator.url}/opc/v2")

    settings = {
        "credential": "instance-principal",
        "federation_endpoint": f"{emulator.url}/v1/x509",
    }
    assert _wraps(emulator, **settings)
    assert emulator.emulator.transcript.count("instance:x509") == 1


def test_the_token_of_an_instance_is_renewed_before_it_expires(
    emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.service.instances.start([Grant("*")])
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{emulator.url}/opc/v2")
    settings = {
        "credential": "instance-principal",
        "federation_endpoint": f"{emulator.url}/v1/x509",
    }
    with open_kek(emulator.create_key(), emulator.url, **settings) as kek:
        emulator.emulator.clock.advance(-3595.0)
        kek.wrap(DEK, aad=AAD)
        emulator.emulator.clock.advance(3595.0)
        kek.wrap(DEK, aad=AAD)

    assert emulator.emulator.transcript.count("instance:x509") > 1


def test_renewing_the_token_of_an_instance_is_bounded(
    emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.service.instances.start([Grant("*")])
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{emulator.url}/opc/v2")
    settings = {
        "credential": "instance-principal",
        "federation_endpoint": f"{emulator.url}/v1/x509",
        "credential_timeout": 2.0,
    }
    with open_kek(emulator.create_key(), emulator.url, **settings) as kek:
        # The token of the first call is as good as expired.
        emulator.emulator.clock.advance(-3595.0)
        kek.wrap(DEK, aad=AAD)
        emulator.emulator.faults.add(FaultKind.LATENCY, operation="instance:cert.pem", seconds=6.0)
        started = time.monotonic()

        with pytest.raises(UnavailableError, match="not obtained in time"):
            kek.wrap(DEK, aad=AAD)

    assert time.monotonic() - started < 4.0


def test_a_clock_that_is_off_is_an_authentication_error_that_says_so(
    emulator: EmulatedVault,
) -> None:
    emulator.emulator.clock.set_skew(301.0)

    with pytest.raises(AuthenticationError) as caught:
        _wraps(emulator)

    assert "clock" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("resource-principal", AuthenticationError),
        ("oke-workload", AuthenticationError),
        ("config-file", SettingsError),
        ("security-token", SettingsError),
    ],
)
def test_nothing_that_gives_credentials_is_told_with_advice(
    scripted: ScriptedVault, kind: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OCI_CONFIG_FILE")

    with (
        open_kek(KEY, scripted.url, credential=kind) as kek,
        pytest.raises(KsmStorageError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert type(caught.value) is error
    assert caught.value.hint
    assert caught.value.__cause__ is not None
    assert scripted.asked == []


UNUSABLE = {
    "nothing in it": ("[DEFAULT]\n", SettingsError, "incomplete or malformed"),
    "no such key file": (
        "[DEFAULT]\nkey_file=/no/such/key.pem\n",
        SettingsError,
        "key file '/no/such/key.pem' of the profile 'DEFAULT'",
    ),
    "another kind": (
        "[DEFAULT]\nauthentication_type=instance_principal\n",
        SettingsError,
        "authentication_type",
    ),
    "no file of that form": ("no section\n", SettingsError, r"is malformed \(line 1\)"),
}


@pytest.mark.parametrize(("text", "kind", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_profile_that_cannot_be_used_is_told(
    scripted: ScriptedVault, tmp_path: Path, text: str, kind: type[Exception], message: str
) -> None:
    path = tmp_path / "config"
    path.write_text(text)

    with (
        open_kek(KEY, scripted.url, config_file=str(path)) as kek,
        pytest.raises(kind, match=message),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_profile_that_is_not_there_is_told(scripted: ScriptedVault, config_file: Path) -> None:
    with (
        open_kek(KEY, scripted.url, profile="OTHER") as kek,
        pytest.raises(SettingsError, match=r"profile 'OTHER' of .* does not exist"),
    ):
        kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize("missing", ["security_token_file", "key_file"])
def test_a_profile_without_a_token_is_told(
    emulator: EmulatedVault, tmp_path: Path, missing: str
) -> None:
    path = _written(tmp_path, emulator, _session(emulator))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(missing)))

    with pytest.raises(SettingsError, match=missing):
        _wraps(emulator, credential="security-token", config_file=str(path))


def test_a_token_file_that_is_gone_is_a_settings_error(
    emulator: EmulatedVault, tmp_path: Path
) -> None:
    path = _written(tmp_path, emulator, _session(emulator))
    (tmp_path / "token").unlink()

    with pytest.raises(
        SettingsError, match=r"token', which the profile 'DEFAULT' of .* names: No such file"
    ):
        _wraps(emulator, credential="security-token", config_file=str(path))


def _as_resource(credential: Credential, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, token = folder / "key.pem", folder / "rpst"
    key.write_bytes(credential.pem())
    token.write_text(credential.token)
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_RPST", str(token))
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", str(key))
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_REGION", "us-ashburn-1")

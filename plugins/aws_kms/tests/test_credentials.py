"""Who asks: the kinds of credentials that the plugin understands."""

from __future__ import annotations

from pathlib import Path

import pytest
from ksm_storage_aws_kms.credentials import CredentialSourceError, source_of
from ksm_storage_emulators.aws_kms.identities import ACCOUNT, AccessKey, allow

from ksm_storage.errors import AuthenticationError, PermissionDeniedError, SettingsError

from .emulated_kms import EmulatedKms
from .moto_kms import MotoKms
from .opening import AAD, open_kek
from .scripted_kms import ARN, DEK, Answer, ScriptedKms, wrapped

ROLE = f"arn:aws:iam::{ACCOUNT}:role/sealer"


@pytest.fixture
def key(emulator: EmulatedKms) -> str:
    return emulator.create_key()


@pytest.fixture
def user(emulator: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> AccessKey:
    """A caller who may do nothing by himself, and whom the role trusts."""
    identities = emulator.emulator.service.identities
    user = identities.add_user("application", [])
    identities.add_role(
        "sealer", [allow("kms:Encrypt", "kms:Decrypt")], trusted=[user.principal.arn]
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", user.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", user.secret_access_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", emulator.url)
    return user


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path / "config"


def without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def profile_of(user: AccessKey) -> str:
    return (
        f"[profile app]\naws_access_key_id = {user.access_key_id}\n"
        f"aws_secret_access_key = {user.secret_access_key}\n"
    )


def test_a_profile_of_the_configuration_file_asks(
    emulator: EmulatedKms, key: str, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file.write_text(profile_of(emulator.emulator.service.administrator))
    without_variables(monkeypatch)

    with open_kek(key, emulator.url, profile="app") as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_the_profile_of_the_option_goes_before_the_variables(
    emulator: EmulatedKms, key: str, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file.write_text(profile_of(emulator.emulator.service.administrator))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")

    with open_kek(key, emulator.url, profile="app") as kek:
        kek.wrap(DEK, aad=AAD)


def test_the_role_of_the_option_asks(emulator: EmulatedKms, key: str, user: AccessKey) -> None:
    with open_kek(key, emulator.url) as kek, pytest.raises(PermissionDeniedError):
        kek.wrap(DEK, aad=AAD)
    emulator.emulator.reset()

    with open_kek(key, emulator.url, role_arn=ROLE) as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK

    # Its credentials are kept between calls.
    assert emulator.emulator.transcript.calls() == {"sts:AssumeRole": 1, "Encrypt": 1, "Decrypt": 1}


def test_the_role_of_the_option_is_assumed_by_the_profile_of_the_option(
    emulator: EmulatedKms,
    key: str,
    user: AccessKey,
    config_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config_file.write_text(profile_of(user))
    without_variables(monkeypatch)

    with open_kek(key, emulator.url, profile="app", role_arn=ROLE) as kek:
        kek.wrap(DEK, aad=AAD)


def test_the_role_of_a_profile_asks(
    emulator: EmulatedKms,
    key: str,
    user: AccessKey,
    config_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config_file.write_text(
        f"{profile_of(user)}[profile sealer]\nrole_arn = {ROLE}\nsource_profile = app\n"
        "region = us-east-1\n"
    )
    without_variables(monkeypatch)

    with open_kek(key, emulator.url, profile="sealer") as kek:
        kek.wrap(DEK, aad=AAD)


def test_the_session_name_and_the_external_id_go_to_sts(
    emulator: EmulatedKms, key: str, user: AccessKey
) -> None:
    names = {"role_session_name": "backup-job", "external_id": "external/7"}

    with open_kek(key, emulator.url, role_arn=ROLE, **names) as kek:
        kek.wrap(DEK, aad=AAD)

    body = emulator.emulator.transcript.exchanges()[0].body
    assert b"RoleSessionName=backup-job" in body
    assert b"ExternalId=external%2F7" in body


def test_a_role_that_does_not_trust_the_caller_names_the_permission(
    emulator: EmulatedKms, key: str, user: AccessKey
) -> None:
    other = ROLE.replace("sealer", "other")

    with (
        open_kek(key, emulator.url, role_arn=other) as kek,
        pytest.raises(PermissionDeniedError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert caught.value.permission == "sts:AssumeRole"


def test_a_role_without_credentials_to_assume_it_with_is_an_authentication_error(
    emulator: EmulatedKms, key: str, user: AccessKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_variables(monkeypatch)

    with (
        open_kek(key, emulator.url, role_arn=ROLE) as kek,
        pytest.raises(AuthenticationError, match="no AWS credentials found"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_refusal_of_sts_that_is_no_denial_is_an_authentication_error(
    scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", scripted.url)
    error = b"<ErrorResponse><Error><Code>ValidationError</Code></Error></ErrorResponse>"
    scripted.answer = Answer(400, error)

    with (
        open_kek(ARN, scripted.url, role_arn="arn:aws:iam::1:role/x" * 2) as kek,
        pytest.raises(AuthenticationError, match="refused to issue"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_web_identity_token_asks(
    moto: MotoKms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = moto.create_key()
    without_variables(monkeypatch)
    (tmp_path / "token").write_text("a.web.token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.url)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    with open_kek(key, moto.url) as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_the_container_of_a_task_or_pod_asks(
    scripted: ScriptedKms, credential_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_variables(monkeypatch)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{credential_server}/container")
    scripted.answer = wrapped()

    with open_kek(ARN, scripted.url) as kek:
        kek.wrap(DEK, aad=AAD)

    assert len(scripted.asked) == 1


@pytest.mark.parametrize("metadata_timeout", [None, 10**12])
def test_the_role_of_an_instance_asks(
    scripted: ScriptedKms,
    credential_server: str,
    monkeypatch: pytest.MonkeyPatch,
    metadata_timeout: int | None,
) -> None:
    without_variables(monkeypatch)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", credential_server)
    scripted.answer = wrapped()

    with open_kek(ARN, scripted.url, metadata_timeout=metadata_timeout) as kek:
        kek.wrap(DEK, aad=AAD)

    assert len(scripted.asked) == 1


def test_an_unknown_session_name_is_a_settings_error_of_ours_or_a_refusal_of_sts(
    emulator: EmulatedKms, key: str, user: AccessKey
) -> None:
    with (
        open_kek(key, emulator.url, role_arn=ROLE, role_session_name="a b") as kek,
        pytest.raises((AuthenticationError, SettingsError)),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_foreign_exception_may_hold_anything_where_the_clients_name_the_source() -> None:
    foreign = OSError("foreign")
    foreign.kwargs, foreign.source = ["sso"], ["sso"]  # type: ignore[attr-defined]
    named = CredentialSourceError("sso")
    named.__cause__ = foreign

    assert source_of(foreign) is None
    assert source_of(named) == "sso"

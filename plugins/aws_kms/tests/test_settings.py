"""What is checked when a key is opened, before anything is called."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ksm_storage.errors import SettingsError

from .opening import AAD, open_kek
from .scripted_kms import ARN, DEK, ScriptedKms, wrapped

REFUSED: Mapping[str, tuple[Mapping[str, object], str]] = {
    "region of another key": ({"region": "us-east-1"}, "is not in the region 'us-east-1'"),
    "metadata never asked": ({"metadata_attempts": 0}, "'metadata_attempts' must be 1 or more"),
    "no time for metadata": ({"metadata_timeout": 0}, "'metadata_timeout' must be 1 or more"),
    "session of no role": ({"role_session_name": "x"}, "needs the setting 'role_arn'"),
    "external id of no role": ({"external_id": "x"}, "needs the setting 'role_arn'"),
    "unknown algorithm": ({"algorithm": "ROT13"}, "must be one of"),
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED)
def test_a_setting_that_cannot_be_used_is_refused_when_the_key_is_opened(
    settings: Mapping[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        open_kek(ARN, **{"endpoint": None, **settings})


def test_the_endpoint_of_the_aws_configuration_must_not_be_in_the_clear_either(
    any_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://kms.example.invalid")

    with open_kek(ARN) as kek, pytest.raises(SettingsError, match="in the clear"):
        kek.wrap(DEK, aad=AAD)


def test_the_endpoint_of_the_aws_configuration_is_used(
    scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", scripted.url)
    scripted.answer = wrapped()

    with open_kek(ARN) as kek:
        kek.wrap(DEK, aad=AAD)

    assert len(scripted.asked) == 1


def test_times_longer_than_a_socket_can_wait_end_no_call(scripted: ScriptedKms) -> None:
    scripted.answer = wrapped()
    long = {"deadline": 1e300, "connect_timeout": 1e300, "read_timeout": 1e300}

    with open_kek(ARN, scripted.url, **long) as kek:
        kek.wrap(DEK, aad=AAD)

    assert len(scripted.asked) == 1


def test_an_argument_goes_before_the_environment(
    scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_AWS_KMS_ENDPOINT", "http://127.0.0.1:1")
    scripted.answer = wrapped()

    with open_kek(ARN, scripted.url) as kek:
        kek.wrap(DEK, aad=AAD)

    assert len(scripted.asked) == 1


def test_a_region_that_is_nowhere_to_be_found_is_a_settings_error(any_credentials: None) -> None:
    with open_kek("alias/app") as kek, pytest.raises(SettingsError, match="no region for the key"):
        kek.wrap(DEK, aad=AAD)

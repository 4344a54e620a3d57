"""What is checked when a key is opened, before anything is called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from ksm_storage_aws_kms.hooks import key_wrapper_options

from ksm_storage.errors import SettingsError
from ksm_storage.keys.discovery import find_plugin

from .opening import AAD, open_kek
from .scripted_kms import ARN, DEK, ScriptedKms, wrapped

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "plugins" / "aws-kms.md"

REFUSED: Mapping[str, tuple[Mapping[str, object], str]] = {
    "region of another key": ({"region": "us-east-1"}, "is not in the region 'us-east-1'"),
    "endpoint without a scheme": ({"endpoint": "kms.example"}, "is not an http or https URL"),
    "endpoint of another kind": ({"endpoint": "ftp://127.0.0.1"}, "is not an http or https URL"),
    "endpoint in the clear": ({"endpoint": "http://kms.example"}, "in the clear"),
    "endpoint that looks local": ({"endpoint": "http://127.0.0.1.example"}, "in the clear"),
    "no such file": ({"ca_file": "/no/such/file.pem"}, "does not exist"),
    "no time to connect": ({"connect_timeout": 0}, "'connect_timeout' must be"),
    "no time to read": ({"read_timeout": -1.0}, "'read_timeout' must be"),
    "no end": ({"deadline": float("inf")}, "'deadline'.* must be"),
    "no number": ({"deadline": float("nan")}, "'deadline'.* must be"),
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


@pytest.mark.parametrize("endpoint", ["http://127.0.0.2:1", "http://[::1]:1", "http://localhost:1"])
def test_plain_http_to_this_machine_is_accepted(endpoint: str) -> None:
    open_kek(ARN, endpoint).close()


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


def test_what_goes_in_the_clear_to_this_machine_goes_through_no_proxy(
    scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    scripted.answer = wrapped()

    with open_kek(ARN, scripted.url) as kek:
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


def test_a_file_of_authorities_without_any_is_refused_when_the_key_is_opened(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(b"")

    with pytest.raises(SettingsError, match="'ca_file' has no valid PEM certificate"):
        open_kek(ARN, ca_file=str(path))


def test_every_option_stands_in_the_documentation() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")

    missing = [
        option.name for option in key_wrapper_options() if f"| `{option.name}` |" not in text
    ]

    assert not missing


def test_the_plugin_is_found_under_its_name() -> None:
    assert find_plugin("aws-kms").distribution == "ksm-storage-aws-kms"

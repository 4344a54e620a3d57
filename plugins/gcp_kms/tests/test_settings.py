"""What is checked when a key is opened, before anything is called."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path

import pytest

from ksm_storage.errors import SettingsError

from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek
from .scripted_kms import KEY

ACCOUNT = "app@demo.iam.gserviceaccount.com"

REFUSED: Mapping[str, tuple[Mapping[str, object], str]] = {
    "endpoint with a path": ({"endpoint": "https://kms.example/v1"}, "without a path"),
    "IAM in the clear": ({"iam_endpoint": "http://iam.example"}, "'iam_endpoint' would send"),
    "no such credentials": ({"credentials_file": "/no/such"}, "'credentials_file' does not exist"),
    "no time for an attempt": ({"attempt_timeout": 0}, "'attempt_timeout' must be"),
    "no time for a call": ({"deadline": -1.0}, "'deadline' must be"),
    "no time for credentials": ({"credential_timeout": 0}, "'credential_timeout' must be"),
    "unknown purpose": ({"purpose": "ASYMMETRIC_SIGN"}, "must be one of"),
    "unknown credential": ({"credential": "magic"}, "must be one of"),
    "account without a file": ({"credential": "service-account"}, "missing for credential"),
    "metadata with a file": (
        {"credential": "metadata", "credentials_file": __file__},
        "does not belong to credential",
    ),
    "impersonation of nobody": ({"credential": "impersonation"}, "missing for credential"),
    "impersonation not asked for": ({"impersonate_service_account": ACCOUNT}, "does not belong"),
    "account that is a path": (
        {"credential": "impersonation", "impersonate_service_account": "a/../b@c"},
        "not a valid e-mail address",
    ),
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED)
def test_a_setting_that_cannot_be_used_is_refused_when_the_key_is_opened(
    settings: Mapping[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        open_kek(KEY, settings)


def test_an_argument_goes_before_the_environment(
    kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_GCP_KMS_ENDPOINT", "http://127.0.0.1:9")

    with open_kek(kms.create_key().name, kms.settings) as kek:
        kek.wrap(DEK, aad=AAD)

    assert kms.calls() == 1


def test_the_authorities_of_the_environment_do_not_replace_the_chosen_ones(
    kms_tls: EmulatedKms, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_text("")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    kms_tls.service.tokens.add_account(ACCOUNT)
    kms_tls.service.policy.grant(ACCOUNT, ["*"])

    with open_kek(
        kms_tls.create_key().name,
        {**kms_tls.settings, "credential": "impersonation"},
        impersonate_service_account=ACCOUNT,
    ) as kek:
        kek.wrap(DEK, aad=AAD)

    assert kms_tls.emulator.transcript.count("GenerateAccessToken") == 1


def test_a_file_of_authorities_that_vanished_is_a_settings_error(
    kms_tls: EmulatedKms, tmp_path: Path
) -> None:
    path = copied_authorities(kms_tls, tmp_path)
    settings = {**kms_tls.settings, "endpoint": "https://127.0.0.1:9", "ca_file": str(path)}

    with open_kek(KEY, settings) as kek:
        path.unlink()
        with pytest.raises(SettingsError, match="cannot read"):
            kek.wrap(DEK, aad=AAD)


def test_a_file_of_authorities_with_a_byte_order_mark_is_used(
    kms_tls: EmulatedKms, tmp_path: Path
) -> None:
    path = copied_authorities(kms_tls, tmp_path, start=codecs.BOM_UTF8)

    name = kms_tls.create_key().name
    with open_kek(name, {**kms_tls.settings, "ca_file": str(path)}) as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


@pytest.mark.parametrize("content", [b"", b"no certificate\n"])
def test_a_file_of_authorities_without_any_does_not_stand_for_all_public_ones(
    kms: EmulatedKms, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(content)

    with pytest.raises(SettingsError, match="'ca_file' has no valid PEM certificate"):
        open_kek(KEY, {**kms.settings, "ca_file": str(path)})


def copied_authorities(kms: EmulatedKms, folder: Path, *, start: bytes = b"") -> Path:
    """Return a copy, with something before it, of the file that the emulator's clients trust."""
    assert kms.ca_file is not None
    path = folder / "ca.pem"
    path.write_bytes(start + kms.ca_file.read_bytes())
    return path

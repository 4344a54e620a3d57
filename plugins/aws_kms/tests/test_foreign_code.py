"""Helpers and prompts of the AWS client get neither our standard input nor a bad credential."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ksm_storage_emulators.aws_kms.identities import ACCOUNT

from ksm_storage.errors import AuthenticationError, SettingsError, UnavailableError

from .emulated_kms import EmulatedKms
from .opening import AAD, open_kek
from .scripted_kms import ARN, DEK, Answer, ScriptedKms, wrapped

SECRET = b"piped-secret\n"

WRAPPING = """
import sys
from opening import AAD, open_kek
key, url, profile = sys.argv[1:]
try:
    open_kek(key, url, profile=profile).wrap(bytes(32), aad=AAD)
except Exception as exc:
    print(type(exc).__name__, exc)
print("left:", sys.stdin.read())
"""


def wrapping(url: str, profile: str, config: Path) -> str:
    """Wrap in a process that has a secret on its standard input, and return what it prints."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    ran = subprocess.run(
        [sys.executable, "-c", WRAPPING, ARN, url, profile],
        cwd=Path(__file__).parent,
        env={
            **{name: value for name, value in os.environ.items() if name not in names},
            "AWS_CONFIG_FILE": str(config),
            "AWS_ENDPOINT_URL_STS": url,
        },
        check=True,
        capture_output=True,
        input=SECRET,
        timeout=30,
    )
    return ran.stdout.decode()


@pytest.mark.parametrize("through_a_role", [False, True])
def test_a_credential_process_reads_nothing_of_our_standard_input(
    scripted: ScriptedKms, tmp_path: Path, through_a_role: bool
) -> None:
    read = tmp_path / "read"
    script = tmp_path / "process.py"
    script.write_text(
        "import json, pathlib, sys\n"
        f"pathlib.Path({str(read)!r}).write_text(repr(sys.stdin.read()))\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': 'A', 'SecretAccessKey': 'B'}))\n"
    )
    config = tmp_path / "config"
    config.write_text(
        f"[profile source]\ncredential_process = {sys.executable} {script}\n"
        f"[profile role]\nsource_profile = source\nrole_arn = arn:aws:iam::{ACCOUNT}:role/x\n"
    )
    scripted.answer = wrapped()

    printed = wrapping(scripted.url, "role" if through_a_role else "source", config)

    assert read.read_text() == "''"
    assert printed.endswith("left: piped-secret\n\n")


def test_an_mfa_code_is_not_taken_from_our_standard_input(
    scripted: ScriptedKms, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"[profile mfa]\nrole_arn = arn:aws:iam::{ACCOUNT}:role/x\nsource_profile = keys\n"
        f"mfa_serial = arn:aws:iam::{ACCOUNT}:mfa/x\n"
        "[profile keys]\naws_access_key_id = A\naws_secret_access_key = B\n"
    )

    printed = wrapping(scripted.url, "mfa", config)

    assert printed.startswith("AuthenticationError ")
    assert "no terminal" in printed
    assert printed.endswith("left: piped-secret\n\n")
    assert scripted.asked == []


def test_a_credential_process_that_hangs_ends_with_the_deadline(
    scripted: ScriptedKms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_credentials: None
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile p]\ncredential_process = sleep 60\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    with (
        open_kek(ARN, scripted.url, profile="p", deadline=0.5) as kek,
        pytest.raises(UnavailableError, match="did not answer in time"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_credential_process_that_is_not_there_is_named(
    scripted: ScriptedKms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_credentials: None
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile p]\ncredential_process = /no/such/helper --token hunter2\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    with (
        open_kek(ARN, scripted.url, profile="p") as kek,
        pytest.raises(SettingsError, match="cannot run the credential_process") as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert "hunter2" not in repr(caught.value.__cause__)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE\n"),
        ("AWS_SECRET_ACCESS_KEY", "secret "),
        ("AWS_SESSION_TOKEN", "token\r\n"),
    ],
)
def test_a_line_end_in_a_credential_is_told_as_what_it_is(
    scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with (
        open_kek(ARN, scripted.url) as kek,
        pytest.raises(AuthenticationError, match="contain a line break"),
    ):
        kek.wrap(DEK, aad=AAD)

    assert scripted.asked == []


def test_a_proxys_page_in_the_place_of_a_token_is_told_with_the_proxy(
    scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", scripted.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    scripted.answer = Answer(200, b"<html>sign in to the guest network</html>")

    with (
        open_kek(ARN, scripted.url, role_arn=f"arn:aws:iam::{ACCOUNT}:role/x") as kek,
        pytest.raises(UnavailableError, match="invalid reply from AWS") as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert "proxy" in str(caught.value.hint)


@pytest.mark.parametrize("cache", ["{}", "[]", "", "no json"])
def test_an_sso_cache_without_a_token_asks_for_a_sign_in(
    scripted: ScriptedKms,
    no_credentials: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache: str,
) -> None:
    import hashlib

    (tmp_path / "config").write_text(
        "[profile p]\nsso_session = s\nsso_account_id = 111122223333\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://example.invalid/start\n"
    )
    folder = tmp_path / ".aws" / "sso" / "cache"
    folder.mkdir(parents=True)
    (folder / f"{hashlib.sha1(b's').hexdigest()}.json").write_text(cache)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))

    with open_kek(ARN, scripted.url, profile="p") as kek, pytest.raises(AuthenticationError) as exc:
        kek.wrap(DEK, aad=AAD)

    assert "aws sso login" in str(exc.value.hint)


def test_the_region_of_the_environment_is_read(
    scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    scripted.answer = wrapped()

    with open_kek("alias/app", scripted.url) as kek:
        kek.wrap(DEK, aad=AAD)

    assert "/eu-central-1/kms/" in scripted.asked[0].authorization


def test_a_multi_region_key_of_moto_is_a_key_name(emulator: EmulatedKms) -> None:
    key = "mrk-1234abcd-12ab-34cd-56ef-1234567890ab"

    open_kek(f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{key}").close()

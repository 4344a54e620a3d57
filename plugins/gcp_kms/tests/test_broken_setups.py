"""Broken set-ups of the Google credentials: each error says what to mend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ksm_storage_emulators.gcp_kms.service import KEY_RING

from ksm_storage.errors import (
    AuthenticationError,
    KsmStorageError,
    SettingsError,
    UnavailableError,
)
from ksm_storage.plugin import WrappedDek
from ksm_storage.testing.broken_setups import (
    SECRET,
    BrokenSetup,
    Machine,
    assert_finishes_the_job,
)
from ksm_storage.testing.scripted_server import Answer, Request, ScriptedServer

from .emulated_kms import EmulatedKms
from .opening import AAD, open_kek

PAGE = b"<html><body>Sign in to the proxy</body></html>"
VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
AUTH, SET = AuthenticationError, SettingsError
B = BrokenSetup


def nothing(m: Machine) -> Machine:
    # Read when the library is imported, which may have been before.
    m.environment.setattr("google.auth.compute_engine._metadata._NO_GCE_CHECK", True)
    return m


def adc(m: Machine, content: object) -> Machine:
    text = content if isinstance(content, (str, bytes)) else json.dumps(content)
    return m.variables(**{VARIABLE: m.file("adc.json", text)})


def gcloud(m: Machine, content: str) -> Machine:
    m.file("application_default_credentials.json", content)
    return nothing(m).variables(CLOUDSDK_CONFIG=str(m.folder))


def account(m: Machine, **values: object) -> dict[str, object]:
    file = {
        "type": "service_account",
        "project_id": "demo",
        "private_key_id": "1",
        "private_key": SECRET,
        "client_email": "app@demo.iam.gserviceaccount.com",
        "token_uri": f"{m.server}/token",
    }
    return {name: value for name, value in {**file, **values}.items() if value is not None}


def user(m: Machine, **values: object) -> dict[str, object]:
    file = {"type": "authorized_user", "client_id": "1", "client_secret": SECRET}
    return {**file, "refresh_token": SECRET, **values}


def federated(m: Machine, source: object, **values: object) -> dict[str, object]:
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": source,
        **values,
    }


def executable(m: Machine, command: str) -> Machine:
    source = {"executable": {"command": command, "timeout_millis": 5000}}
    m.variables(GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES="1")
    return adc(m, federated(m, source))


def metadata(m: Machine, host: str) -> Machine:
    # Read when the library is imported, which happens here at the latest.
    m.environment.setattr(
        "google.auth.compute_engine._metadata._GCE_METADATA_HOST", host, raising=False
    )
    m.variables(GCE_METADATA_HOST=host, GCE_METADATA_IP=host)
    return m.options(credential="metadata", credential_timeout=1.0)


SETUPS = {
    "nothing at all": B(nothing, AUTH, VARIABLE),
    "variable to nothing": B(lambda m: m.variables(**{VARIABLE: "/no/such"}), SET, VARIABLE),
    "variable with a line end": B(
        lambda m: m.variables(**{VARIABLE: m.file("a.json", "{}") + "\n"}), SET, "line end"
    ),
    "variable to a folder": B(lambda m: m.variables(**{VARIABLE: str(m.folder)}), SET, "folder"),
    "the JSON itself in the variable": B(
        lambda m: m.variables(**{VARIABLE: json.dumps(account(m))}), SET, "path"
    ),
    "a pipe": B(lambda m: m.variables(**{VARIABLE: m.pipe()}), SET, "not a regular file"),
    "empty file": B(lambda m: adc(m, ""), SET, "not valid JSON"),
    "garbage": B(lambda m: adc(m, SECRET), SET, "not valid JSON"),
    "bytes": B(lambda m: adc(m, b"\xff\xfe\x00"), SET, "not valid JSON"),
    "a byte order mark": B(
        lambda m: adc(m, "\ufeff" + json.dumps(account(m))), SET, "byte order mark"
    ),
    "UTF-16": B(lambda m: adc(m, json.dumps(account(m)).encode("utf-16")), SET, "byte order mark"),
    "garbage in the file of gcloud": B(lambda m: gcloud(m, SECRET), SET, "not valid JSON"),
    "a key that was escaped twice": B(
        lambda m: adc(m, account(m, private_key=f"-----BEGIN KEY-----\\n{SECRET}\\n")),
        SET,
        "in the place of line ends",
    ),
    "a list": B(lambda m: adc(m, [SECRET]), SET, "not a JSON object"),
    "no type": B(lambda m: adc(m, {"key": SECRET}), SET, "'type'"),
    "unknown type": B(lambda m: adc(m, {"type": "robot"}), SET, "'type'"),
    "type of the wrong type": B(lambda m: adc(m, {"type": 7}), SET, "'type'"),
    "an OAuth client": B(lambda m: adc(m, {"installed": {"client_secret": SECRET}}), SET, "type"),
    "account without its e-mail": B(
        lambda m: adc(m, account(m, client_email=None)), SET, "'client_email'"
    ),
    "account without its key": B(
        lambda m: adc(m, account(m, private_key=None)), SET, "'private_key'"
    ),
    "account with a garbled key": B(lambda m: adc(m, account(m)), SET, "'private_key'"),
    "account with a numeric key": B(
        lambda m: adc(m, account(m, private_key=7)), SET, "'private_key'"
    ),
    "user without the refresh token": B(
        lambda m: adc(m, user(m, refresh_token=None)), SET, "'refresh_token'"
    ),
    "federation without its token": B(
        lambda m: adc(m, federated(m, {"file": "/no/such"})), SET, "credential_source"
    ),
    "federation with a pipe": B(
        lambda m: adc(m, federated(m, {"file": m.pipe()})), SET, "not a regular file"
    ),
    "federation with an empty token": B(
        lambda m: adc(m, federated(m, {"file": m.file("token", "")})), SET, "credential_source"
    ),
    "federation without a source": B(lambda m: adc(m, federated(m, {})), SET, "credential_source"),
    "federation: token no JSON": B(
        lambda m: adc(
            m,
            federated(
                m,
                {
                    "file": m.file("token", SECRET),
                    "format": {"type": "json", "subject_token_field_name": "t"},
                },
            ),
        ),
        SET,
        "credential_source",
    ),
    "federation: page in the place of the token": B(
        lambda m: adc(m, federated(m, {"url": f"{m.server}/token"}, token_url=m.server)),
        AUTH,
        "token_url",
    ),
    "executable not allowed": B(
        lambda m: executable(m, "/no/such").variables(
            GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=None
        ),
        SET,
        "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES",
    ),
    "executable missing": B(lambda m: executable(m, "/no/such"), AUTH, "executable"),
    "executable fails": B(
        lambda m: executable(m, m.program(f"raise SystemExit('{SECRET}')")), AUTH, "executable"
    ),
    "executable prints garbage": B(
        lambda m: executable(m, m.program(f"print('{SECRET}')")), AUTH, "executable"
    ),
    "metadata answered by a page": B(
        lambda m: metadata(m, m.server.removeprefix("http://")), UnavailableError, "proxy"
    ),
    "metadata is not here": B(lambda m: metadata(m, "127.0.0.1:1"), UnavailableError, "credential"),
}


@pytest.mark.parametrize("direct_call", [True, False], ids=["direct", "client"])
@pytest.mark.parametrize("name", SETUPS)
def test_a_broken_setup_is_named(
    kms: EmulatedKms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    direct_call: bool,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    setup = SETUPS[name]
    key = f"{KEY_RING}/cryptoKeys/any"
    settings = {"endpoint": kms.url, "iam_endpoint": kms.emulator.url, "deadline": 3.0}
    wrapped = WrappedDek(f"{key}/cryptoKeyVersions/1", "GOOGLE_SYMMETRIC_ENCRYPTION", b"c" * 100)

    def read(request: Request) -> str:
        return request.path

    with ScriptedServer(Answer(200, PAGE, {"Content-Type": "text/html"}), read=read) as server:
        machine = Machine(tmp_path, monkeypatch, server.url, settings)
        setup.break_it(machine)
        with (
            pytest.raises(KsmStorageError) as caught,
            open_kek(key, machine.settings, direct_call=direct_call) as kek,
        ):
            kek.unwrap(wrapped, aad=AAD)

    assert_finishes_the_job(caught.value, setup)

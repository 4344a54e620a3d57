"""Broken set-ups of a Vault client: each error says what to mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksm_storage.plugin import (
    AuthenticationError,
    KsmStorageError,
    SettingsError,
    UnavailableError,
    WrappedDek,
)
from ksm_storage.testing.broken_setups import (
    SECRET,
    BrokenSetup,
    Machine,
    assert_finishes_the_job,
)
from ksm_storage.testing.scripted_server import Answer, ScriptedServer

from .opening import AAD, opened

PAGE = b"<html><body>Sign in to the proxy</body></html>"
AUTH, SET = AuthenticationError, SettingsError
B = BrokenSetup


def token_file(m: Machine, content: str | bytes) -> Machine:
    m.settings.pop("token")
    return m.options(token_file=m.file("token", content))


def no_token(m: Machine) -> Machine:
    m.settings.pop("token")
    return m


def kubernetes(m: Machine, content: str | None) -> Machine:
    m.settings.pop("token")
    path = str(m.folder / "gone") if content is None else m.file("jwt", content)
    return m.options(credential="kubernetes", role="app", jwt_file=path)


SETUPS = {
    "no token": B(no_token, AUTH, "vault login"),
    "token of two lines": B(lambda m: m.options(token=f"{SECRET}\nx"), SET, "single token"),
    "token in JSON": B(lambda m: m.options(token=f'{{"token": "{SECRET}"}}'), SET, "JSON"),
    "token not ASCII": B(lambda m: m.options(token=f"{SECRET}é"), SET, "single token"),
    "token file missing": B(
        lambda m: no_token(m).options(token_file="/no/such"), SET, "token_file"
    ),
    "token file empty": B(lambda m: token_file(m, ""), SET, "token_file"),
    "token file bytes": B(lambda m: token_file(m, b"\xff\xfe"), SET, "token_file"),
    "token file a folder": B(
        lambda m: no_token(m).options(token_file=str(m.folder)), SET, "token_file"
    ),
    "token variable of two lines": B(
        lambda m: no_token(m).variables(VAULT_TOKEN=f"{SECRET}\nx"), SET, "VAULT_TOKEN"
    ),
    "token helper's file is JSON": B(lambda m: token_file(m, f'{{"x": "{SECRET}"}}'), SET, "JSON"),
    "jwt missing": B(lambda m: kubernetes(m, None), SET, "jwt_file"),
    "jwt empty": B(lambda m: kubernetes(m, ""), SET, "jwt_file"),
    "login answered by a page": B(lambda m: kubernetes(m, "a.b.c"), UnavailableError, "proxy"),
    "request answered by a page": B(lambda m: m, UnavailableError, "proxy"),
    "no address": B(lambda m: m.options(endpoint=None), SET, "VAULT_ADDR"),
    "address without a scheme": B(lambda m: m.options(endpoint="vault:8200"), SET, "https://"),
    "address in the clear": B(lambda m: m.options(endpoint="http://vault:8200"), SET, "https"),
    "address with a path": B(
        lambda m: m.options(endpoint=f"https://u:{SECRET}@vault/"), SET, "https"
    ),
    "address of the API": B(
        lambda m: m.options(endpoint="https://vault:8200/v1/"), SET, "the address alone"
    ),
    "address of the web interface": B(
        lambda m: m.options(endpoint=None).variables(VAULT_ADDR="https://vault:8200/ui"),
        SET,
        "'VAULT_ADDR' ends with a path",
    ),
    "nobody listens": B(
        lambda m: m.options(endpoint="http://127.0.0.1:1"), UnavailableError, "network"
    ),
    "authorities missing": B(
        lambda m: m.options(endpoint="https://vault:8200").variables(VAULT_CACERT="/no/such"),
        SET,
        "VAULT_CACERT",
    ),
    "authorities garbage": B(
        lambda m: m.options(endpoint="https://vault:8200").variables(
            VAULT_CACERT=m.file("ca.pem", "x")
        ),
        SET,
        "VAULT_CACERT",
    ),
}


@pytest.mark.parametrize("name", SETUPS)
def test_a_broken_setup_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    setup = SETUPS[name]
    wrapped = WrappedDek("transit/app", "TRANSIT_AEAD", b"vault:v1:" + b"A" * 64)
    page = Answer(200, PAGE, {"Content-Type": "text/html"})

    with ScriptedServer(page, read=lambda request: request.path) as server:
        settings = {"endpoint": server.url, "token": SECRET, "deadline": 2.0}
        machine = Machine(tmp_path, monkeypatch, server.url, settings)
        setup.break_it(machine)
        given = {key: value for key, value in machine.settings.items() if value is not None}
        with pytest.raises(KsmStorageError) as caught:
            opened("transit/app", given).unwrap(wrapped, aad=AAD)

    assert_finishes_the_job(caught.value, setup)

"""Broken set-ups of the AWS credential chain: each error says what to mend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.credentials import SSOProvider
from botocore.tokens import SSOTokenProvider
from botocore.utils import ContainerMetadataFetcher

from ksm_storage.errors import (
    AuthenticationError,
    KsmStorageError,
    PermissionDeniedError,
    ProviderError,
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

from .opening import AAD, open_kek
from .scripted_kms import ARN, Answer, ScriptedKms, scripted_kms

ROLE = "arn:aws:iam::111122223333:role/app"
PAGE = b"<html><head><title>Blocked</title></head><body>Sign in to the proxy</body></html>"
SSO = (
    "[profile p]\nsso_session = s\nsso_account_id = 111122223333\nsso_role_name = r\n"
    "[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://example.invalid/start\n"
)


def keys(m: Machine, **values: str) -> Machine:
    m.variables(AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY=SECRET)
    m.variables(**{f"AWS_{name}": value for name, value in values.items()})
    return m


def profile(m: Machine, content: str | bytes, *, mode: int = 0o600) -> Machine:
    m.variables(AWS_CONFIG_FILE=m.file("config", content, mode=mode), AWS_PROFILE="p")
    return m


def stored(m: Machine, content: str | bytes) -> Machine:
    m.variables(AWS_SHARED_CREDENTIALS_FILE=m.file("credentials", content))
    return m


def process(m: Machine, code: str) -> Machine:
    profile(m, f"[profile p]\ncredential_process = {m.program(code)}\n")
    return m


def container(m: Machine) -> Machine:
    m.variables(AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{m.server}/creds")
    return m


def web(m: Machine, token: str | None) -> Machine:
    path = str(m.folder / "nothing") if token is None else m.file("token", token)
    m.variables(AWS_WEB_IDENTITY_TOKEN_FILE=path, AWS_ROLE_ARN=ROLE)
    m.variables(AWS_ENDPOINT_URL_STS=m.server, AWS_REGION="eu-west-1")
    return m


def role(m: Machine) -> Machine:
    keys(m)
    m.variables(AWS_ENDPOINT_URL_STS=m.server)
    return m.options(role_arn=ROLE)


def sso(m: Machine, cache: object) -> Machine:
    import hashlib

    profile(m, SSO)
    folder = m.folder / "sso"
    folder.mkdir()
    for source in (SSOProvider, SSOTokenProvider):
        # Below the home folder that was the user's when the client was imported.
        m.environment.setattr(source, "_SSO_TOKEN_CACHE_DIR", str(folder))
    name = hashlib.sha1(b"s").hexdigest()  # the AWS client's own naming
    text = cache if isinstance(cache, str) else json.dumps(cache)
    (folder / f"{name}.json").write_text(text)
    return m


def instance(m: Machine) -> Machine:
    m.variables(AWS_EC2_METADATA_DISABLED=None, AWS_EC2_METADATA_SERVICE_ENDPOINT=m.server)
    return m


AUTH, SET = AuthenticationError, SettingsError
OUT = json.dumps
ISSUED = {"Version": 1, "AccessKeyId": "A", "SecretAccessKey": SECRET}
B = BrokenSetup
SETUPS = {
    "nothing at all": B(lambda m: None, AUTH, "no AWS credentials"),
    "line end in the key id": B(lambda m: keys(m, ACCESS_KEY_ID="AKIA1\n"), AUTH, "line break"),
    "line end in the secret": B(
        lambda m: keys(m, SECRET_ACCESS_KEY=f"{SECRET}\n"), AUTH, "line break"
    ),
    "CR in the token": B(lambda m: keys(m, SESSION_TOKEN=f"{SECRET}\r"), AUTH, "AWS_SESSION_TOKEN"),
    "quotes around the secret": B(lambda m: keys(m, SECRET_ACCESS_KEY=f'"{SECRET}"'), AUTH, "quot"),
    "secret that is not ASCII": B(
        lambda m: keys(m, SECRET_ACCESS_KEY=f"{SECRET}é"), AUTH, "AWS_SECRET"
    ),
    "half of the keys": B(
        lambda m: m.variables(AWS_ACCESS_KEY_ID="AKIA1"), AUTH, "AWS_SECRET_ACCESS_KEY"
    ),
    "unknown profile": B(lambda m: m.variables(AWS_PROFILE="nobody"), SET, "profile"),
    "config that is no INI": B(lambda m: profile(m, f"{SECRET}\n[profile"), SET, "AWS"),
    "config that is a folder": B(
        lambda m: m.variables(AWS_CONFIG_FILE=str(m.folder), AWS_PROFILE="p"),
        SET,
        "AWS_CONFIG_FILE",
    ),
    "credentials not UTF-8": B(
        lambda m: stored(m, b"[default]\naws_secret_access_key=\xff\xfe\n"), SET, "credentials"
    ),
    "credentials that are JSON": B(
        lambda m: stored(m, OUT({"aws_secret_access_key": SECRET})), SET, "credentials"
    ),
    "credentials without the secret": B(
        lambda m: stored(m, "[default]\naws_access_key_id=AKIA1\n"), AUTH, "aws_secret_access_key"
    ),
    "credentials twice": B(
        lambda m: stored(
            m, f"[default]\naws_secret_access_key={SECRET}\naws_secret_access_key=b\n"
        ),
        SET,
        "AWS",
    ),
    "process missing": B(
        lambda m: profile(m, f"[profile p]\ncredential_process = /no/such {SECRET}\n"),
        SET,
        "credential_process",
    ),
    "process not executable": B(
        lambda m: profile(m, f"[profile p]\ncredential_process = {m.file('x', 'x')}\n"),
        SET,
        "credential_process",
    ),
    "process empty": B(
        lambda m: profile(m, "[profile p]\ncredential_process =\n"), SET, "credential_process"
    ),
    "process with an open quote": B(
        lambda m: profile(m, "[profile p]\ncredential_process = a 'b\n"), AUTH, "credential_process"
    ),
    "process fails": B(lambda m: process(m, f"import sys; sys.exit('{SECRET}')"), AUTH, "process"),
    "process prints garbage": B(
        lambda m: process(m, f"print('{SECRET}')"), AUTH, "credential_process"
    ),
    "process prints a list": B(lambda m: process(m, "print([])"), AUTH, "credential_process"),
    "process prints version 2": B(
        lambda m: process(m, "print('{\"Version\": 2}')"), AUTH, "process"
    ),
    "process prints half": B(
        lambda m: process(m, 'print(\'{"Version": 1, "AccessKeyId": "A"}\')'), AUTH, "process"
    ),
    "process prints numbers": B(
        lambda m: process(m, 'print(\'{"Version": 1, "AccessKeyId": 1, "SecretAccessKey": 2}\')'),
        AUTH,
        "process",
    ),
    "process prints bytes": B(
        lambda m: process(m, "import sys; sys.stdout.buffer.write(b'\\xff\\xfe')"), AUTH, "process"
    ),
    "process prints expired": B(
        lambda m: process(m, f"print('{OUT({**ISSUED, 'Expiration': '2001-01-01T00:00:00Z'})}')"),
        AUTH,
        "Expiration",
    ),
    "process hangs": B(
        lambda m: (process(m, "import time; time.sleep(60)"), m.options(deadline=0.6)),
        UnavailableError,
        "in time",
    ),
    "sso never signed in": B(lambda m: profile(m, SSO), AUTH, "aws sso login"),
    "sso cache empty object": B(lambda m: sso(m, {}), AUTH, "aws sso login"),
    "sso cache empty": B(lambda m: sso(m, ""), AUTH, "aws sso login"),
    "sso cache garbage": B(lambda m: sso(m, SECRET), AUTH, "aws sso login"),
    "sso cache a list": B(lambda m: sso(m, [SECRET]), AUTH, "aws sso login"),
    "sso cache with a null": B(
        lambda m: sso(m, {"accessToken": None, "expiresAt": None}), AUTH, "aws sso login"
    ),
    "sso cache bad time": B(
        lambda m: sso(m, {"accessToken": SECRET, "expiresAt": "soon"}), AUTH, "aws sso login"
    ),
    "sso cache expired": B(
        lambda m: sso(m, {"accessToken": SECRET, "expiresAt": "2001-01-01T00:00:00Z"}),
        AUTH,
        "aws sso login",
    ),
    "sso incomplete": B(
        lambda m: profile(m, "[profile p]\nsso_session = s\nsso_account_id = 1\nsso_role_name=r\n"),
        SET,
        "sso",
    ),
    "sso half": B(
        lambda m: profile(m, "[profile p]\nsso_start_url = https://x.invalid\n"), AUTH, "aws sso"
    ),
    "web identity without its token": B(lambda m: web(m, None), SET, "AWS_WEB_IDENTITY_TOKEN_FILE"),
    "web identity with a pipe": B(
        lambda m: web(m, None).variables(AWS_WEB_IDENTITY_TOKEN_FILE=m.pipe()),
        SET,
        "is not a regular file",
    ),
    "web identity with an empty token": B(lambda m: web(m, ""), AUTH, "token"),
    "sts page, web": B(lambda m: web(m, SECRET), UnavailableError, "proxy"),
    "sts page, role": B(role, UnavailableError, "proxy"),
    "container page": B(container, AUTH, "proxy"),
    "container on another host": B(
        lambda m: m.variables(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://example.invalid/x"),
        AUTH,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    "container token missing": B(
        lambda m: (container(m), m.variables(AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="/no/such")),
        SET,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ),
    "container token with a line end": B(
        lambda m: (container(m), m.variables(AWS_CONTAINER_AUTHORIZATION_TOKEN=f"{SECRET}\r\n")),
        AUTH,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ),
    "instance page": B(instance, AUTH, "AWS"),
    "instance endpoint garbled": B(
        lambda m: m.variables(
            AWS_EC2_METADATA_DISABLED=None, AWS_EC2_METADATA_SERVICE_ENDPOINT="not a url"
        ),
        SET,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    ),
    "role loop": B(
        lambda m: profile(
            m,
            f"[profile p]\nrole_arn={ROLE}\nsource_profile=q\n"
            f"[profile q]\nrole_arn={ROLE}\nsource_profile=p\n",
        ),
        SET,
        "source_profile",
    ),
    "role without a source": B(
        lambda m: profile(m, f"[profile p]\nrole_arn={ROLE}\n"), AUTH, "source_profile"
    ),
    "role from an unknown profile": B(
        lambda m: profile(m, f"[profile p]\nrole_arn={ROLE}\nsource_profile=q\n"),
        SET,
        "source_profile",
    ),
    "role from an unknown source": B(
        lambda m: profile(m, f"[profile p]\nrole_arn={ROLE}\ncredential_source=Moon\n"),
        SET,
        "credential_source",
    ),
    "role with MFA off a terminal": B(
        lambda m: profile(
            m,
            f"[profile p]\nrole_arn={ROLE}\nsource_profile=q\nmfa_serial=arn:aws:iam::1:mfa/x\n"
            f"[profile q]\naws_access_key_id=A\naws_secret_access_key={SECRET}\n",
        ),
        AUTH,
        "terminal",
    ),
    "login session gone": B(
        lambda m: profile(m, "[profile p]\nlogin_session = arn:aws:iam::111122223333:user/x\n"),
        SET,
        "botocore[crt]",
    ),
    "region with a line end": B(
        lambda m: keys(m, REGION="eu-west-1\n").options(key="alias/app"),
        SET,
        "AWS_REGION",
    ),
    "no region": B(lambda m: (keys(m), m.options(key="alias/app")), SET, "region"),
    "endpoint of the environment is no URL": B(
        lambda m: keys(m, ENDPOINT_URL_KMS="kms.example").options(endpoint=None),
        SET,
        "AWS_ENDPOINT_URL",
    ),
    "endpoint of the environment in the clear": B(
        lambda m: keys(m, ENDPOINT_URL_KMS="http://kms.example").options(endpoint=None),
        SET,
        "clear",
    ),
    "kms answers a page": B(keys, UnavailableError, "proxy"),
    "bad AWS_MAX_ATTEMPTS": B(
        lambda m: (keys(m), m.variables(AWS_MAX_ATTEMPTS="many")), SET, "AWS_MAX_ATTEMPTS"
    ),
    "bad AWS_USE_FIPS_ENDPOINT": B(
        lambda m: (keys(m), m.variables(AWS_STS_REGIONAL_ENDPOINTS="bad")), SET, "AWS_"
    ),
}


@pytest.fixture
def server() -> Iterator[ScriptedKms]:
    with scripted_kms() as server:
        server.answer = Answer(200, PAGE, {"Content-Type": "text/html"})
        yield server


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ScriptedKms) -> Machine:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    return Machine(tmp_path, monkeypatch, server.url, {"endpoint": server.url})


@pytest.mark.parametrize("direct_call", [True, False], ids=["direct", "client"])
@pytest.mark.parametrize("name", SETUPS)
def test_a_broken_setup_is_named(machine: Machine, name: str, direct_call: bool) -> None:
    setup = SETUPS[name]
    setup.break_it(machine)
    key = str(machine.settings.pop("key", ARN))
    wrapped = WrappedDek(ARN, "SYMMETRIC_DEFAULT", b"c" * 150)

    with (
        open_kek(key, **machine.settings, direct_call=direct_call) as kek,
        pytest.raises(KsmStorageError) as caught,
    ):
        kek.unwrap(wrapped, aad=AAD)

    assert_finishes_the_job(caught.value, setup)


def refused(code: str) -> Answer:
    """Return an error of STS."""
    text = f"<ErrorResponse><Error><Code>{code}</Code><Message/></Error></ErrorResponse>"
    return Answer(403, text.encode(), {"Content-Type": "text/xml"})


def signed_in(m: Machine) -> Machine:
    until = {"expiresAt": "2099-01-01T00:00:00Z", "region": "eu-west-1"}
    m.variables(AWS_ENDPOINT_URL_SSO=m.server)
    return sso(m, {"accessToken": SECRET, "startUrl": "https://example.invalid/start", **until})


def refused_session(code: str) -> Answer:
    return Answer(403, b"{}", {"x-amzn-ErrorType": code})


def with_token(m: Machine) -> Machine:
    return web(m, "a.b.c")


DENIED = PermissionDeniedError
REFUSALS = {
    "role denied": (refused("AccessDenied"), B(role, DENIED, "assume the role")),
    "role expired": (refused("ExpiredToken"), B(role, AUTH, "aws sso login")),
    "role unknown key": (refused("InvalidClientTokenId"), B(role, AUTH, "access key id")),
    "role off": (refused("RegionDisabledException"), B(role, AUTH, "RegionDisabled")),
    "web denied": (refused("AccessDenied"), B(with_token, DENIED, "AWS_ROLE_ARN")),
    "web expired": (
        refused("ExpiredTokenException"),
        B(with_token, AUTH, "AWS_WEB_IDENTITY_TOKEN_FILE"),
    ),
    "web rejected": (refused("InvalidIdentityToken"), B(with_token, AUTH, "issuer")),
    "web issuer down": (
        refused("IDPCommunicationError"),
        B(with_token, UnavailableError, "identity provider"),
    ),
    "sso forbidden": (refused_session("ForbiddenException"), B(signed_in, AUTH, "sso_role_name")),
    "sso revoked": (refused_session("UnauthorizedException"), B(signed_in, AUTH, "sso login")),
    "a firewall's page": (Answer(403, PAGE), B(keys, ProviderError, "firewall")),
    "a proxy's login": (Answer(407, b""), B(keys, ProviderError, "USER:PASSWORD@")),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_of_credentials_is_named(
    machine: Machine, server: ScriptedKms, name: str
) -> None:
    server.answer, setup = REFUSALS[name]
    setup.break_it(machine)

    with open_kek(ARN, **machine.settings) as kek, pytest.raises(KsmStorageError) as caught:
        kek.unwrap(WrappedDek(ARN, "SYMMETRIC_DEFAULT", b"c" * 150), aad=AAD)

    assert_finishes_the_job(caught.value, setup)

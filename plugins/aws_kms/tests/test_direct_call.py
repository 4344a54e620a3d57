"""The direct call: signed as the AWS client signs, and never another result than the client's."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from ksm_storage_aws_kms.direct_call import DirectKms, credential_source, signed_headers
from ksm_storage_aws_kms.hooks import Access

from ksm_storage import errors
from ksm_storage.plugin import Connection, NotDirectError

from .emulated_kms import EmulatedKms
from .opening import AAD, open_kek
from .scripted_kms import ARN, DEK, Answer, ScriptedKms, refusal, unwrapped, wrapped
from .test_errors import ROWS, UNREADABLE
from .test_wire import SYMMETRIC

ACCESS = Access(
    Connection(None, None, 3.0, 6.0, 20.0),
    ca_from_shared_variable=False,
    region="eu-west-1",
    profile=None,
    role_arn=None,
    role_session_name="s",
    external_id=None,
    metadata_timeout=None,
    metadata_attempts=None,
    may_call_directly=True,
)
STARTING = """
import sys
sys.path.insert(0, ".")
from opening import AAD, open_kek
from ksm_storage.plugin import WrappedDek
key, url = sys.argv[1:]
open_kek(key, url).unwrap(WrappedDek(key, "SYMMETRIC_DEFAULT", b"c" * 150), aad=AAD)
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"boto3", "botocore", "urllib3"}))
"""


def test_a_request_is_signed_as_the_aws_client_signs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.gmtime(1_800_000_000)
    monkeypatch.setattr(time, "gmtime", lambda *_: now)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", now)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: _datetime(now))
    choose = random.Random(7)

    for _ in range(2000):
        body = choose.randbytes(choose.randrange(2000))
        region = choose.choice(["eu-west-1", "us-gov-west-1", "ap-southeast-7"])
        token = choose.choice([None, choose.randbytes(90).hex()])
        host = choose.choice(["kms.eu-west-1.amazonaws.com", "127.0.0.1:4566"])
        key_id, secret = choose.randbytes(10).hex().upper(), choose.randbytes(20).hex() + "+/="
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "T.Decrypt"}
        request = AWSRequest("POST", f"https://{host}/", headers=dict(headers), data=body)
        SigV4Auth(Credentials(key_id, secret, token), "kms", region).add_auth(request)
        given = {
            "aws_access_key_id": key_id,
            "aws_secret_access_key": secret,
            "aws_session_token": token or "",
        }

        signed = signed_headers({**headers, "host": host}, body, given, f"{region}/kms")

        assert signed["authorization"] == request.headers["Authorization"]
        assert signed["x-amz-date"] == request.headers["X-Amz-Date"] == stamp


def test_the_published_vector_of_a_post_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Source: AWS Signature Version 4 test suite, "post-vanilla".
    now = time.struct_time((2015, 8, 30, 12, 36, *[0] * 4))
    monkeypatch.setattr(time, "gmtime", lambda *_: now)
    given = {
        "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    }

    signed = signed_headers({"host": "example.amazonaws.com"}, b"", given, "us-east-1/service")

    assert signed["authorization"].endswith(
        "Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    )


def test_a_start_makes_one_call_and_imports_no_aws_client(scripted: ScriptedKms) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTING, ARN, scripted.url],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout.strip() == ""
    assert [asked.operation for asked in scripted.asked] == ["Decrypt"]


def test_all_calls_share_one_connection(scripted: ScriptedKms) -> None:
    with open_kek(ARN, scripted.url) as kek:
        for _ in range(3):
            scripted.answers = [wrapped(), unwrapped()]
            kek.wrap(DEK, aad=AAD)
            assert kek.unwrap(SYMMETRIC, aad=AAD) == DEK

    assert [asked.operation for asked in scripted.asked] == ["Encrypt", "Decrypt"] * 3
    assert len({asked.peer for asked in scripted.asked}) == 1


def test_the_setting_turns_it_off(scripted: ScriptedKms) -> None:
    with open_kek(ARN, scripted.url, direct_call=False) as kek:
        for _ in range(2):
            kek.unwrap(SYMMETRIC, aad=AAD)

    assert len({asked.peer for asked in scripted.asked}) == 1


@pytest.mark.parametrize("is_wrap", [False, True], ids=["unwrap", "wrap"])
@pytest.mark.parametrize("fault", [*ROWS, *UNREADABLE])
def test_a_failure_is_the_same_error_as_the_client_makes_alone(
    scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch, fault: str, is_wrap: bool
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    told = []

    for is_direct in (True, False):
        scripted.asked.clear()
        if fault in ROWS:
            scripted.answer = refusal(fault, status=ROWS[fault][0])
        else:
            scripted.answer = Answer(body=UNREADABLE[fault])
        # After one that succeeded, as in a command on many files.
        scripted.answers = [wrapped()]
        with open_kek(ARN, scripted.url, direct_call=is_direct) as kek:
            kek.wrap(DEK, aad=AAD)
            with pytest.raises(errors.KsmStorageError) as caught:
                kek.wrap(DEK, aad=AAD) if is_wrap else kek.unwrap(SYMMETRIC, aad=AAD)
        assert len(scripted.asked) == 2 + is_direct
        told.append((type(caught.value), caught.value.as_dict(), repr(caught.value.__cause__)))

    assert told[0] == told[1]


def test_another_context_is_the_same_error(emulator: EmulatedKms) -> None:
    arn = emulator.create_key()
    with open_kek(arn, emulator.url) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
    told = []

    for is_direct in (True, False):
        with (
            open_kek(arn, emulator.url, direct_call=is_direct) as kek,
            pytest.raises(errors.DecryptionError) as caught,
        ):
            kek.unwrap(wrapped, aad=type(AAD)({"purpose": "other"}))
        told.append(caught.value.message)

    assert told[0] == told[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the user an empty ``~/.aws``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / ".aws").mkdir()
    return tmp_path / ".aws"


KEYS = "aws_access_key_id = AKID\naws_secret_access_key = secret\n"


@pytest.mark.parametrize(
    ("source", "files", "variables"),
    [
        ("environment", {}, {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s"}),
        ("shared credentials file", {"credentials": f"[default]\n{KEYS}"}, {}),
        (
            "shared credentials file",
            {"credentials": f"[app]\n{KEYS}", "config": "[profile app]\nregion = eu-west-1\n"},
            {"AWS_PROFILE": "app"},
        ),
        ("container", {}, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"}),
        ("instance", {}, {}),
    ],
)
def test_plain_credentials_are_used(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    files: dict[str, str],
    variables: dict[str, str],
) -> None:
    _set_up(home, monkeypatch, files, variables)

    assert credential_source(ACCESS) == source


@pytest.mark.parametrize(
    ("files", "variables"),
    [
        ({"config": "[default]\nrole_arn = arn:aws:iam::1:role/r\n"}, {}),
        ({"config": "[default]\ncredential_process = /bin/keys\n"}, {}),
        ({"config": "[default]\nsso_session = s\n"}, {}),
        ({"config": "[default]\nendpoint_url = https://other.example\n"}, {}),
        ({"config": "[default]\nca_bundle = /ca.pem\n"}, {}),
        ({"config": f"[default]\n{KEYS}"}, {}),
        *(
            ({"credentials": f"[default]\n{KEYS}", "config": f"[{name}]\nrole_arn = r\n"}, {})
            for name in ("profile default", 'profile "default"', "profile  default", " default ")
        ),
        ({"credentials": f"[default]\n{KEYS}role_arn = arn:aws:iam::1:role/r\n"}, {}),
        ({"credentials": f"[default]\n{KEYS}"}, {"AWS_PROFILE": "missing"}),
        ({}, {"AWS_EC2_METADATA_DISABLED": "true"}),
        ({}, {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn"}),
        ({}, {"AWS_ENDPOINT_URL": "https://other.example"}),
        ({}, {"AWS_ENDPOINT_URL_KMS": "https://other.example"}),
        ({}, {"AWS_USE_FIPS_ENDPOINT": "true"}),
        ({}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/"}),
        ({}, {"AWS_SOMETHING_OF_TOMORROW": "1"}),
    ],
    ids=str,
)
def test_anything_else_is_left_to_the_client(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    variables: dict[str, str],
) -> None:
    _set_up(home, monkeypatch, files, variables)

    with pytest.raises(NotDirectError):
        credential_source(ACCESS)


@pytest.mark.parametrize(
    "access",
    [
        ACCESS._replace(region=None),
        ACCESS._replace(region="cn-north-1"),
        ACCESS._replace(region="us-gov-west-1"),
        ACCESS._replace(profile="app"),
        ACCESS._replace(may_call_directly=False),
        ACCESS._replace(connection=ACCESS.connection._replace(endpoint="https://h.example/path")),
    ],
)
def test_settings_that_need_the_client_are_left_to_it(home: Path, access: Access) -> None:
    with pytest.raises(NotDirectError):
        credential_source(access)


def test_a_role_is_left_to_the_client(home: Path) -> None:
    with open_kek(ARN, role_arn="arn:aws:iam::111122223333:role/r") as kek:
        access = kek.wrapper._client.access  # type: ignore[attr-defined]

    with pytest.raises(NotDirectError, match="by the settings"):
        credential_source(access)


def _set_up(
    home: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], variables: dict[str, str]
) -> None:
    for name, content in files.items():
        (home / name).write_text(content)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def _datetime(now: time.struct_time) -> object:
    from datetime import UTC, datetime

    return datetime(*now[:6], tzinfo=UTC)


def test_credentials_that_change_are_read_again_in_time(
    home: Path, scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    # An hour, in which others replace the credentials every ten minutes.
    with open_kek(ARN, scripted.url) as kek:
        for minute in range(60):
            if minute % 10 == 0:
                key = f"aws_access_key_id = AKID{minute}\naws_secret_access_key = s\n"
                (home / "credentials").write_text(f"[default]\n{key}")
            kek.unwrap(SYMMETRIC, aad=AAD)
            now[0] += 60

    used = [asked.authorization.partition("Credential=")[2][:6] for asked in scripted.asked]
    # Never older than the four minutes of a renewal.
    assert [used[minute] for minute in (0, 14, 24, 34, 44, 54)] == [
        *("AKID0/", "AKID10", "AKID20", "AKID30", "AKID40", "AKID50")
    ]
    assert len(used) == 60


@pytest.mark.parametrize("source", ["instance", "container"])
def test_credentials_of_a_metadata_service_open(
    home: Path,
    scripted: ScriptedKms,
    credential_server: str,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    # The fixture of the server has set some.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    if source == "instance":
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", credential_server)
    else:
        monkeypatch.setattr("ksm_storage_aws_kms.direct_call._CONTAINER", credential_server)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/container")

    access = ACCESS._replace(connection=ACCESS.connection._replace(endpoint=scripted.url))
    kms = DirectKms(access)
    reply = kms.send(kms.credentials(), "Decrypt", {"KeyId": ARN, "CiphertextBlob": b"c" * 150})
    kms.close()

    assert reply["Plaintext"] == DEK
    assert "Credential=ASIAIOSFODNN7EXAMPLE/" in scripted.asked[0].authorization
    assert "x-amz-security-token" in scripted.asked[0].authorization

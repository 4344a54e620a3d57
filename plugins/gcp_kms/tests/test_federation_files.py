"""The direct call takes federation files that are plain, and sends what Google's library sends."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from google.auth import identity_pool
from ksm_storage_emulators.gcp_kms.workload_identity import PROVIDER
from ksm_storage_gcp_kms.credential_files import validate_file
from ksm_storage_gcp_kms.direct_call import MAX_SUBJECT_TOKEN, credential_source, unwrap
from ksm_storage_gcp_kms.hooks import PUBLIC_ENDPOINT, SCOPES

from ksm_storage.plugin import HttpReply, NotDirectError

from .direct import access_of
from .test_direct_federation import ACCOUNT, JSON_FORMAT

STS = "https://sts.googleapis.com/v1/token"
IAM = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
# Of what the account's token is to be like.
OPTIONS: Sequence[object] = (
    None,
    [],
    {"token_lifetime_seconds": 599},
    {"token_lifetime_seconds": 43201},
    {"token_lifetime_seconds": "600"},
    {"token_lifetime_seconds": 600.0},
    {"token_lifetime_seconds": None},
    {"something_of_tomorrow": 1},
)
VALID: Mapping[str, object] = {
    "type": "external_account",
    "audience": PROVIDER,
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": STS,
}


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        ({"client_id": "1", "client_secret": "hunter2"}, {}),
        ({"workforce_pool_user_project": "1"}, {}),
        ({"quota_project_id": "billing"}, {}),
        ({"something_of_tomorrow": "1"}, {}),
        ({"universe_domain": "other.example"}, {}),
        ({"audience": ""}, {}),
        ({"audience": 7}, {}),
        ({"subject_token_type": "urn:ietf:params:aws:token-type:aws4_request"}, {}),
        *(
            ({"token_url": url}, {})
            for url in (
                "https://sts.example/v1/token",
                "https://sts.googleapis.com.example/v1/token",
                "https://example/sts.googleapis.com/v1/token",
                "https://sts.googleapis.com@example/v1/token",
                "https://user@sts.googleapis.com/v1/token",
                "https://sts.googleapis.com/v1/token?x=1",
                "https://sts.googleapis.com/v1/token\n",
                "https://sts.googleapis.com/v1/introspect",
                "https://sts.googleapis.com:8443/v1/token",
                "https://sts.storage.googleapis.com/v1/token",
                "http://sts.googleapis.com/v1/token",
                "http://10.0.0.1/v1/token",
                "http://127.0.0.1.example/v1/token",
                "http://localhost:1@example/v1/token",
                ["https://sts.googleapis.com/v1/token"],
                None,
            )
        ),
        *(
            ({"service_account_impersonation_url": url}, {})
            for url in (
                f"https://iam.example/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken",
                f"{IAM}/{ACCOUNT}:generateIdToken",
                f"{IAM}/{ACCOUNT}/../x@y:generateAccessToken",
                f"{IAM}/{ACCOUNT}:generateAccessToken?x=1",
                f"{IAM}/a%40b:generateAccessToken",
                f"{IAM}/:generateAccessToken",
                "",
                None,
            )
        ),
        *(({"service_account_impersonation": options}, {}) for options in OPTIONS),
        *(
            ({"credential_source": source}, {})
            for source in (
                None,
                {},
                {"file": 0},
                {"file": "/no/such"},
                {"file": "T", "url": "https://example"},
                {"file": "T", "headers": {}},
                {"file": "T", "format": None},
                {"file": "T", "format": {"type": "xml"}},
                {"file": "T", "format": {"type": "json"}},
                {"file": "T", "format": {"type": "text", "something_of_tomorrow": 1}},
                {"file": "T", "format": JSON_FORMAT},
                {"url": "https://example"},
                {"executable": {"command": "/bin/true"}},
                {"environment_id": "aws1"},
            )
        ),
        ({}, {"credential": "service-account"}),
        ({}, {"quota_project": "billing"}),
        ({}, {"direct_call": "false"}),
    ],
    ids=str,
)
def test_anything_else_is_left_to_the_client(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    settings: dict[str, str],
) -> None:
    (tmp_path / "T").write_text("header.claims.signature")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps({**VALID, "credential_source": {"file": "T"}, **change}))
    sent: list[object] = []
    monkeypatch.setattr("ksm_storage.plugin.HttpApi", _recording(sent))
    access = access_of(path, monkeypatch, {**settings, "credentials_file": "F"}, {})

    with pytest.raises(Exception, match=r".") as caught:
        credential_source(access)
    with pytest.raises(type(caught.value)):
        unwrap(access, "decrypt", {"name": "n", "ciphertext": b"c"})

    assert sent == []


@pytest.mark.parametrize("kind", ["pipe", "too long", "empty", "no text"])
def test_the_token_must_be_in_a_regular_file_of_a_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    token, path = tmp_path / "token", tmp_path / "credentials.json"
    if kind == "pipe":
        os.mkfifo(token)
    else:
        text = {"too long": b"t" * (MAX_SUBJECT_TOKEN + 1), "empty": b"", "no text": b"\xff"}
        token.write_bytes(text[kind])
    path.write_text(json.dumps({**VALID, "credential_source": {"file": str(token)}}))
    access = access_of(path, monkeypatch, {"credentials_file": "F"}, {})

    with pytest.raises((NotDirectError, OSError, ValueError)):
        credential_source(access)


def test_2000_random_files_send_what_googles_library_sends_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "credentials.json"
    choose = random.Random(11)
    path.touch()
    sent: list[tuple[object, ...]] = []
    monkeypatch.setattr("ksm_storage.plugin.HttpApi", _recording(sent))
    access = access_of(path, monkeypatch, {"credentials_file": "F"}, {})
    direct = 0

    for number in range(2000):
        sent.clear()
        document = _random_file(choose, tmp_path)
        # A new one each time: to write over a file takes longer.
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(document))
        try:
            unwrap(
                access._replace(credentials_file=str(path)),
                "decrypt",
                {"name": "n", "ciphertext": b"c"},
            )
        except Exception:
            assert sent == [], document
            continue
        direct += 1
        *tokens, decrypted = sent

        # What is refused before the library is asked is not sent directly either.
        validate_file(str(path))
        asked, final = _asked_by_the_library(document)
        assert tokens == asked, document
        assert decrypted[0] == f"{PUBLIC_ENDPOINT}/v1/n:decrypt"
        assert decrypted[1] == final

    assert 300 < direct < 1700


def _random_file(choose: random.Random, folder: Path) -> dict[str, object]:
    """Return a file that is often usable, with a token beside it."""
    token = choose.choice(["a.b.c", "ä\u2028&=+%", "<saml>\r\n</saml>\n", " ", "", "t" * 4000])
    is_json = choose.random() < 0.4
    name = f"T-{hash(token)}-{is_json}"
    if not (folder / name).exists():
        text = json.dumps({"id_token": token}) if is_json else token
        (folder / name).write_text(text, encoding="utf-8", newline="")
    shape: object = JSON_FORMAT if is_json else choose.choice([{}, {"type": "text"}])
    source: dict[str, object] = {"file": name, "format": shape}
    region = choose.choice(["", "", ".europe-west3.rep", "-vpc1.p"])
    document: dict[str, object] = {
        **VALID,
        "token_url": f"https://sts{region}.googleapis.com/v1/token",
        "credential_source": source,
    }
    if choose.random() < 0.5:
        account = choose.choice([ACCOUNT, "123456789", "a_b@c.d"])
        host = f"https://iamcredentials{region}.googleapis.com"
        url = f"{host}/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
        document["service_account_impersonation_url"] = url
    if choose.random() < 0.3:
        document["service_account_impersonation"] = choose.choice(
            [{}, {"token_lifetime_seconds": choose.randrange(600, 43_201)}]
        )
    junk: Sequence[object] = (None, "", 7, [], {}, True, "x", "https://example", "file", "text")
    more = ("url", "client_id", "quota_project_id", "token_info_url", "x")
    for _ in range(choose.choice([0, 0, 0, 1, 2])):
        target = choose.choice([document, document, source])
        name = choose.choice([*target, *more])
        target[name] = choose.choice(junk)
    return document


def _asked_by_the_library(
    document: Mapping[str, Any],
) -> tuple[list[tuple[object, ...]], str]:
    asked: list[tuple[object, ...]] = []

    def request(url: str, method: str, headers: Mapping[str, str], body: bytes) -> object:
        lower = {name.lower(): value for name, value in headers.items()}
        asked.append(_request(url, method, lower, body))
        return SimpleNamespace(status=200, data=json.dumps(_reply(url)).encode())

    credentials = identity_pool.Credentials.from_info(document, scopes=SCOPES)
    credentials.refresh(request)
    return asked, f"Bearer {credentials.token}"


def _request(url: str, method: str, headers: Mapping[str, str], body: bytes) -> tuple[object, ...]:
    """Return a request in a form that can be compared; the library's metrics are left out."""
    content: object
    if headers["content-type"] == "application/json":
        # Its null means that nobody stands between.
        content = {name: each for name, each in json.loads(body).items() if each is not None}
    else:
        content = sorted(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
    return url, headers.get("authorization"), method, headers["content-type"], content


def _reply(url: str) -> dict[str, object]:
    if url.endswith(":generateAccessToken"):
        return {"accessToken": "token-of-the-account", "expireTime": "2100-01-01T00:00:00Z"}
    if url.endswith("/v1/token"):
        return {"access_token": "token-of-the-subject", "expires_in": 3600}
    return {"plaintext": "AA==", "plaintextCrc32c": "1"}


def _recording(sent: list[Any]) -> type:
    """Return what stands for the kit's requests: it writes them down, and grants everything."""

    class Recording:
        def __init__(self, url: str, *given: object, **more: object) -> None:
            self._url = url

        def to(self, url: str) -> Recording:
            return Recording(url)

        def send(
            self, method: str, path: str, *, body: bytes, headers: Mapping[str, str]
        ) -> HttpReply:
            url = f"{self._url}{path}"
            sent.append(_request(url, method, headers, body))
            return HttpReply(200, {}, json.dumps(_reply(url)).encode())

    return Recording

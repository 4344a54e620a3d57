"""The direct call exchanges a federated token as Google's library does, and never elsewhere."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.message import Reply, json_reply
from ksm_storage_gcp_kms.direct_call import credential_source, unwrap

from ksm_storage import errors
from ksm_storage.plugin import RedirectRefusedError

from .direct import access_of, started, told, wrapped_dek
from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek

ACCOUNT = "federated@demo.iam.gserviceaccount.com"
JSON_FORMAT = {"type": "json", "subject_token_field_name": "id_token"}
FORKING = """
import json, os, sys
sys.path.insert(0, ".")
from ksm_storage.plugin import WrappedDek
from opening import AAD, DEK, open_kek
key, settings, wrapped = json.loads(sys.argv[1])
wrapped = WrappedDek(wrapped[0], wrapped[1], bytes.fromhex(wrapped[2]))
kek = open_kek(key, settings)
child = os.fork()
assert kek.unwrap(wrapped, aad=AAD) == DEK
assert not {"google", "grpc"} & {name.partition(".")[0] for name in sys.modules}
assert not child or os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def _settings(kms: EmulatedKms, file: Path, **more: object) -> dict[str, object]:
    given = {name: each for name, each in kms.settings.items() if name != "credential"}
    return {**given, "credentials_file": str(file), **more}


@pytest.mark.parametrize("account", [None, ACCOUNT], ids=["alone", "impersonating"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_start_exchanges_the_token_and_imports_no_google_client(
    kms_tls: EmulatedKms, tmp_path: Path, account: str | None, form: str
) -> None:
    key, wrapped = wrapped_dek(kms_tls)
    token = kms_tls.service.endpoints.workload_identity.token()
    (tmp_path / "token").write_text(
        token if form == "text" else json.dumps({"id_token": token, "expires": 1})
    )
    shape = {"type": "text"} if form == "text" else JSON_FORMAT
    source = {"file": str(tmp_path / "token"), "format": shape}
    file = kms_tls.write_federation("start.json", account=account, credential_source=source)

    assert started(key, _settings(kms_tls, file), wrapped) == ""
    impersonated = {} if account is None else {"GenerateAccessToken": 1}
    assert kms_tls.emulator.transcript.calls() == {"ExchangeToken": 1, **impersonated, "Decrypt": 1}


def test_a_process_that_was_forked_exchanges_its_own(kms: EmulatedKms) -> None:
    key, wrapped = wrapped_dek(kms)
    settings = _settings(kms, kms.write_federation("fork.json"))
    given = wrapped.key_id, wrapped.algorithm, wrapped.ciphertext.hex()

    subprocess.run(
        [sys.executable, "-c", FORKING, json.dumps([key, settings, given])],
        cwd=Path(__file__).parent,
        timeout=30,
        check=True,
    )

    assert kms.emulator.transcript.calls() == {"ExchangeToken": 2, "Decrypt": 2}


def test_the_setting_turns_it_off(kms: EmulatedKms) -> None:
    key, wrapped = wrapped_dek(kms)
    settings = _settings(kms, kms.write_federation("off.json"))

    with open_kek(key, settings, direct_call=False) as kek:
        assert kek.unwrap(wrapped, aad=AAD) == DEK

    methods = [asked.method for asked in kms.emulator.transcript.exchanges()]
    assert methods == ["POST", "gRPC"]


@pytest.mark.parametrize(
    ("account", "shown"),
    [(None, "a federated token"), (ACCOUNT, f"a federated token that impersonates {ACCOUNT}")],
)
def test_doctor_shows_what_is_exchanged(
    kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch, account: str | None, shown: str
) -> None:
    file = kms.write_federation("shown.json", account=account)

    assert credential_source(access_of(file, monkeypatch, {"credentials_file": "F"}, {})) == shown
    assert kms.calls() == 0


def _replying(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[..., object]:
    """Let an endpoint's reply be changed, while a test lasts."""

    def apply(kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> None:
        right = getattr(kms.service.endpoints, name)

        def reply(request: Any) -> Reply:
            document = json.loads(right(request).body)
            return json_reply(200, change(document) or document)

        monkeypatch.setattr(kms.service.endpoints, name, reply)

    return apply


def _subject_token(text: str | None) -> Callable[..., object]:
    def apply(kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> None:
        path = kms.write_federation("failing.json", account=ACCOUNT).with_name("token")
        path.unlink() if text is None else path.write_text(text)

    return apply


def _foreign(**wrong: Any) -> Callable[..., object]:
    def apply(kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> None:
        token = kms.service.endpoints.workload_identity.token(**wrong)
        _subject_token(token)(kms, monkeypatch)

    return apply


def _fault(kind: FaultKind, operation: str, **more: Any) -> Callable[..., object]:
    return lambda kms, monkeypatch: kms.emulator.faults.add(kind, operation=operation, **more)


FAILURES: Mapping[str, Callable[[EmulatedKms, pytest.MonkeyPatch], object]] = {
    "token expired": _foreign(seconds=-10),
    "token of another audience": _foreign(audience="https://elsewhere.example"),
    "token of another subject": _foreign(subject="stranger"),
    "token with a line end": lambda kms, patch: _subject_token(
        kms.service.endpoints.workload_identity.token() + "\n"
    )(kms, patch),
    "no token": _subject_token("junk"),
    "blank token": _subject_token(" \n"),
    "token file missing": _subject_token(None),
    "pool disabled": lambda kms, patch: patch.setattr(
        kms.service.endpoints.workload_identity, "is_enabled", False
    ),
    "may not impersonate": lambda kms, patch: kms.service.policy.revoke(
        kms.service.endpoints.workload_identity.member()
    ),
    "account deleted": lambda kms, patch: kms.service.tokens.remove(ACCOUNT),
    "may not decrypt": lambda kms, patch: kms.service.policy.revoke(ACCOUNT),
    **{
        f"{operation} {kind}": _fault(kind, operation)
        for operation in ("ExchangeToken", "GenerateAccessToken")
        for kind in (FaultKind.DROP, FaultKind.THROTTLE, FaultKind.ERROR, FaultKind.TRUNCATE)
    },
    "exchange without an expiry": _replying("_exchanged", lambda reply: reply.pop("expires_in")),
    "exchange without a token": _replying("_exchanged", lambda reply: reply.pop("access_token")),
    "exchange with a list": _replying("_exchanged", lambda reply: [1]),
    "account without an expiry": _replying("_generated", lambda reply: reply.pop("expireTime")),
    "account with another expiry": _replying(
        "_generated", lambda reply: reply.update(expireTime="tomorrow")
    ),
    "account without a token": _replying("_generated", lambda reply: reply.pop("accessToken")),
}


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the library's pauses between its attempts."""
    monkeypatch.setattr(
        "google.auth._exponential_backoff.time", SimpleNamespace(sleep=lambda seconds: None)
    )


@pytest.mark.usefixtures("one_attempt", "no_pauses")
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_the_same_error_as_the_client_makes_alone(
    kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    key, wrapped = wrapped_dek(kms)
    settings = _settings(kms, kms.write_federation("failing.json", account=ACCOUNT))
    FAILURES[failure](kms, monkeypatch)
    seen = []

    for is_direct in (True, False):
        with (
            open_kek(key, settings, direct_call=is_direct, deadline=5.0) as kek,
            pytest.raises(errors.KsmStorageError) as caught,
        ):
            kek.unwrap(wrapped, aad=AAD)
        seen.append(told(caught.value))

    assert seen[0] == seen[1]
    token = kms.service.endpoints.workload_identity.token()
    assert token.partition(".")[2][:40] not in repr(seen)


@pytest.mark.usefixtures("no_pauses")
def test_a_silent_exchange_ends_with_the_time_for_credentials(kms: EmulatedKms) -> None:
    key, wrapped = wrapped_dek(kms)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/token"
        file = kms.write_federation("silent.json", token_url=url)
        for is_direct in (True, False):
            begun = time.monotonic()
            with (
                open_kek(
                    key, _settings(kms, file), direct_call=is_direct, credential_timeout=0.3
                ) as kek,
                pytest.raises(errors.UnavailableError),
            ):
                kek.unwrap(wrapped, aad=AAD)
            # Once for the direct call, and once for the client.
            assert time.monotonic() - begun < 4


def test_a_redirect_is_not_followed(kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = {"Location": f"{kms.emulator.url}/elsewhere"}
    monkeypatch.setattr(
        kms.service.endpoints, "_exchanged", lambda request: Reply(307, b"", elsewhere)
    )
    file = kms.write_federation("redirected.json")
    settings = {"endpoint": kms.url, "credentials_file": "F"}
    access = access_of(file, monkeypatch, settings, {})

    with pytest.raises(RedirectRefusedError):
        unwrap(access, "decrypt", {"name": kms.create_key().name, "ciphertext": b"c"})

    assert kms.emulator.transcript.calls() == {"ExchangeToken": 1}

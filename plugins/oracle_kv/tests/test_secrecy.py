"""No trace of a DEK, also where Oracle's client would leave one."""

from __future__ import annotations

import http.client
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksm_storage.errors import KsmStorageError, UnavailableError
from ksm_storage.testing.traces import encodings_of

from .opening import AAD, open_kek
from .scripted_vault import DEK, KEY, Answer, ScriptedVault, unwrapped, wrapped
from .test_wire import AES

# In a process of its own, so that the first call is the one that imports the client. Another
# client of the process prints its requests, as the profile here asks for too: that switch is one
# for all connections.
LOGGING = """
import http.client, logging, sys
logging.basicConfig(level=1, stream=sys.stdout, format="%(name)s %(message)s")
from opening import AAD, open_kek
key, url, mode = sys.argv[1:]
kek = open_kek(key, url)
dek = bytes(range(32))
wrapped = kek.wrap(dek, aad=AAD)
http.client.HTTPConnection.debuglevel = 1
assert kek.unwrap(kek.wrap(dek, aad=AAD), aad=AAD) == dek
if mode == "sdk":
    import oci
    from oci.key_management import KmsCryptoClient
    from oci.key_management.models import DecryptDataDetails
    client = KmsCryptoClient(oci.config.from_file(), url)
    client.decrypt(DecryptDataDetails(key_id=key, ciphertext="YWJj"))
"""


@pytest.fixture
def printing_config(config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the profile ask that requests are printed."""
    path = tmp_path / "config"
    path.write_text(config_file.read_text() + "log_requests=true\n")
    monkeypatch.setenv("OCI_CONFIG_FILE", str(path))


def _logged(server: ScriptedVault, mode: str) -> str:
    server.answers = [wrapped(), wrapped(), unwrapped(), unwrapped()]
    ran = subprocess.run(
        [sys.executable, "-c", LOGGING, KEY, server.url, mode],
        cwd=Path(__file__).parent,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return ran.stdout + ran.stderr


def test_nothing_that_is_logged_or_printed_shows_the_dek(
    scripted: ScriptedVault, printing_config: None
) -> None:
    logged = _logged(scripted, "plugin")

    assert [text for text in encodings_of(DEK) if text in logged] == []
    assert "urllib3.connectionpool" not in logged


def test_the_same_client_without_the_plugin_would_print_the_request(
    scripted: ScriptedVault, printing_config: None
) -> None:
    assert "ciphertext" in _logged(scripted, "sdk")


def test_a_profile_that_asks_for_printed_requests_switches_nothing_on(
    scripted: ScriptedVault, printing_config: None
) -> None:
    with open_kek(KEY, scripted.url) as kek:
        kek.unwrap(AES, aad=AAD)

    # The client would set it for all connections of the process.
    assert http.client.HTTPConnection.debuglevel == 0


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=unwrapped().body[:-6]),
        Answer(body=unwrapped().body, missing_bytes=7),
        Answer(body=unwrapped().body[:-2] + b"\xff" + unwrapped().body[-2:]),
        Answer(body=unwrapped().body.replace(b'"plaintext"', b'"Plaintext"')),
        unwrapped(plaintextChecksum="1"),
        unwrapped(keyId="junk"),
        Answer(status=500, body=unwrapped().body),
    ],
    ids=["cut", "ended early", "another encoding", "another name", "checksum", "key", "failed"],
)
def test_the_error_of_a_damaged_reply_shows_nothing_of_it(
    scripted: ScriptedVault, answer: Answer
) -> None:
    scripted.answer = answer

    with (
        open_kek(KEY, scripted.url, deadline=1.0) as kek,
        pytest.raises(KsmStorageError) as caught,
    ):
        kek.unwrap(AES, aad=AAD)

    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.as_dict())
    shown += "".join(f"{exc!r}{vars(exc)!r}" for exc in _chain(caught.value))
    # A cut takes the end of the encoding with it, so its first half is looked for.
    assert [text for text in encodings_of(DEK) if text[:20] in shown] == []


@pytest.mark.parametrize("status", [400, 500])
def test_the_cause_of_a_failed_wrap_holds_no_request(scripted: ScriptedVault, status: int) -> None:
    scripted.answer = Answer(status=status, body=b"{}")

    with (
        open_kek(KEY, scripted.url, deadline=1.0) as kek,
        pytest.raises(KsmStorageError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    _assert_no_request(caught.value)


def test_the_cause_of_a_wrap_that_reached_nobody_holds_no_request(config_file: Path) -> None:
    with (
        open_kek(KEY, "http://127.0.0.1:1", deadline=1.0) as kek,
        pytest.raises(UnavailableError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    _assert_no_request(caught.value)


def test_a_repr_shows_no_passphrase(
    config_file: Path, scripted: ScriptedVault, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    path.write_text(config_file.read_text() + "pass_phrase=hunter3\n")
    given = {"config_file": str(path), "passphrase": "hunter2"}

    with open_kek(KEY, scripted.url, **given) as kek:
        kek.unwrap(AES, aad=AAD)
        client = kek._wrapper._client  # type: ignore[attr-defined]

        assert "hunter" not in repr(client.access) + repr(client._held._clients)


def _assert_no_request(error: BaseException) -> None:
    for exc in _chain(error):
        for name in ("request", "original_request", "response"):
            assert getattr(exc, name, None) is None


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    waiting: list[object] = [exc]
    while waiting:
        link = waiting.pop()
        if isinstance(link, BaseException):
            yield link
            waiting += [link.__cause__, link.__context__, *link.args]


@pytest.mark.parametrize(
    "content",
    [
        b"pass_phrase=hunter2\n",
        b"[DEFAULT]\nhunter2\n",
        b"[DEFAULT]\npass_phrase=hunter2\n\xff\n",
    ],
    ids=["no section", "no option", "no UTF-8"],
)
def test_the_error_of_a_damaged_configuration_file_shows_nothing_of_it(
    scripted: ScriptedVault, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "config"
    path.write_bytes(content)

    with (
        open_kek(KEY, scripted.url, config_file=str(path)) as kek,
        pytest.raises(KsmStorageError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in repr(caught.value.__cause__) + repr(caught.value.__context__)


def test_the_error_of_a_damaged_token_shows_nothing_of_it(
    scripted: ScriptedVault, config_file: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_bytes(b"hunter2\xff")
    path = tmp_path / "config"
    path.write_text(f"{config_file.read_text()}\nsecurity_token_file={token}\n")

    with (
        open_kek(KEY, scripted.url, credential="security-token", config_file=str(path)) as kek,
        pytest.raises(KsmStorageError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)

    assert "hunter2" not in repr(caught.value.__cause__) + repr(caught.value.__context__)

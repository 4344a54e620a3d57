"""No trace of a DEK, also where the AWS client would leave one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksm_storage.errors import SettingsError, UnavailableError
from ksm_storage.plugin import chain_of
from ksm_storage.testing.traces import encodings_of

from .opening import AAD, open_kek
from .scripted_kms import ARN, DEK, Answer, ScriptedKms, unwrapped, wrapped

# In a process of its own, so that the first call is the one that imports the client: only the
# loggers that exist by then can be silenced.
LOGGING = """
import logging, sys
logging.basicConfig(level=1, stream=sys.stdout, format="%(name)s %(message)s")
logging.root.manager.disable = 0
from opening import AAD, open_kek
key, url, mode = sys.argv[1:]
kek = open_kek(key, url, direct_call=mode == "direct")
dek = bytes(range(32))
wrapped = kek.wrap(dek, aad=AAD)
assert kek.unwrap(wrapped, aad=AAD) == dek
if mode == "sdk":
    (client,) = kek._wrapper._client._held._clients.values()
    client.decrypt(KeyId=key, CiphertextBlob=b"c" * 150)
"""


@pytest.fixture(autouse=True)
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def _logged(server: ScriptedKms, mode: str) -> str:
    server.answers = [wrapped(), unwrapped(), unwrapped()]
    ran = subprocess.run(
        [sys.executable, "-c", LOGGING, ARN, server.url, mode],
        cwd=Path(__file__).parent,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("mode", ["direct", "plugin"])
def test_no_log_of_the_first_calls_shows_the_dek(scripted: ScriptedKms, mode: str) -> None:
    logged = _logged(scripted, mode)

    assert [text for text in encodings_of(DEK) if text in logged] == []


def test_the_same_client_without_the_plugin_would_log_the_dek(scripted: ScriptedKms) -> None:
    logged = _logged(scripted, "sdk")

    assert [text for text in encodings_of(DEK) if text in logged] != []


def test_the_error_of_a_wrap_shows_nothing_of_the_request(scripted: ScriptedKms) -> None:
    scripted.answer = Answer(status=500, body=b"{}")

    with open_kek(ARN, scripted.url) as kek, pytest.raises(UnavailableError) as caught:
        kek.wrap(DEK, aad=AAD)

    shown = "".join(f"{exc!r}{vars(exc)!r}" for exc in _chain(caught.value))
    assert [text for text in encodings_of(DEK) if text in shown] == []


def test_a_repr_shows_no_external_id(any_credentials: None) -> None:
    role = {"role_arn": "arn:aws:iam::111122223333:role/app", "external_id": "external-7"}

    with open_kek(ARN, **role) as kek:
        assert "external-7" not in repr(kek._wrapper._client.access)  # type: ignore[attr-defined]


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


@pytest.mark.parametrize("variable", ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"])
@pytest.mark.parametrize(
    "content",
    [b"key=hunter2\n", b"[default]\nhunter2\n", b"[default]\nkey=hunter2\n\xff\n"],
    ids=["no section", "no option", "no UTF-8"],
)
def test_the_error_of_a_damaged_configuration_file_shows_nothing_of_it(
    scripted: ScriptedKms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    content: bytes,
) -> None:
    path = tmp_path / "config"
    path.write_bytes(content)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(path))

    with open_kek(ARN, scripted.url) as kek, pytest.raises(SettingsError) as caught:
        kek.wrap(DEK, aad=AAD)

    links = list(chain_of(caught.value))
    assert "hunter2" not in "".join(f"{link!r}{vars(link)!r}" for link in links)

"""No trace of a DEK or a token in a log, where the client alone would leave one."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from ksm_storage.errors import KsmStorageError
from ksm_storage.plugin import WrappedDek
from ksm_storage.testing.traces import encodings_of

from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek
from .scripted_kms import KEY, VERSION

WRAPPED = WrappedDek(VERSION, "GOOGLE_SYMMETRIC_ENCRYPTION", b"c" * 100)

# In a process of its own, so that the first call is the one that imports the client: only the
# loggers that exist by then can be silenced. The scope is the client's own way to turn logs on.
LOGGING = """
import logging, os, sys, json
os.environ["GOOGLE_SDK_PYTHON_LOGGING_SCOPE"] = "google"
logging.basicConfig(level=1, stream=sys.stdout, format="%(name)s %(message)s %(__dict__)s")
class Everything(logging.Formatter):
    def format(self, record):
        return super().format(record) + repr(vars(record))
logging.root.handlers[0].setFormatter(Everything("%(name)s %(message)s"))
from opening import AAD, DEK, open_kek
key, settings, mode = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
kek = open_kek(key, settings)
wrapped = kek.wrap(DEK, aad=AAD)
assert kek.unwrap(wrapped, aad=AAD) == DEK
if mode == "direct":
    import http.client
    # Set for the client above; with it, no call is direct.
    del os.environ["GOOGLE_SDK_PYTHON_LOGGING_SCOPE"]
    # Other code may have switched this on: it prints requests with their headers.
    http.client.HTTPConnection.debuglevel = 1
    with open_kek(key, settings) as other:
        assert other.unwrap(wrapped, aad=AAD) == DEK
if mode == "sdk":
    session = kek._wrapper._client._held._clients[os.getpid()]
    metadata = session.credentials.headers()
    session.service.encrypt(request={"name": key, "plaintext": DEK}, metadata=metadata)
"""


def _logged(kms: EmulatedKms, mode: str, **more: object) -> str:
    settings = json.dumps({**kms.settings, **more})
    ran = subprocess.run(
        [sys.executable, "-c", LOGGING, kms.create_key().name, settings, mode],
        cwd=Path(__file__).parent,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("mode", ["plugin", "direct"])
def test_no_log_of_the_first_calls_shows_the_dek_or_a_token(kms: EmulatedKms, mode: str) -> None:
    logged = _logged(kms, mode)

    asked = kms.emulator.transcript.exchanges()
    assert ("POST" in [each.method for each in asked]) == (mode == "direct")
    tokens = {each.headers["authorization"].removeprefix("Bearer ") for each in asked}
    assert [text for text in (*encodings_of(DEK), *tokens) if text in logged] == []
    assert "Bearer" not in logged


@pytest.mark.parametrize("mode", ["plugin", "direct"])
def test_no_log_of_a_federation_shows_a_token(kms: EmulatedKms, mode: str) -> None:
    file = kms.write_federation("logged.json", account="logged@demo.iam.gserviceaccount.com")

    logged = _logged(kms, mode, credential="default", credentials_file=str(file))

    asked = kms.emulator.transcript.exchanges()
    exchanges = [each for each in asked if each.operation == "ExchangeToken"]
    unwraps = [each.method for each in asked if each.operation == "Decrypt"]
    assert unwraps == (["gRPC", "POST"] if mode == "direct" else ["gRPC"])
    tokens = {dict(parse_qsl(each.body.decode()))["subject_token"] for each in exchanges}
    tokens |= {each.headers.get("authorization", "Bearer -")[len("Bearer ") :] for each in asked}
    assert [text for text in (*encodings_of(DEK), *tokens - {"-"}) if text in logged] == []
    assert "Bearer" not in logged


def test_the_same_client_without_the_plugin_would_log_the_dek(kms: EmulatedKms) -> None:
    logged = _logged(kms, "sdk")

    assert [text for text in encodings_of(DEK) if text in logged] != []


@pytest.mark.parametrize("kind", ["default", "service-account"])
@pytest.mark.parametrize("end", [b", ", b"\xff"], ids=["cut off", "no UTF-8"])
def test_the_error_of_a_file_of_credentials_shows_nothing_of_it(
    tmp_path: Path, kind: str, end: bytes
) -> None:
    path = tmp_path / "credentials.json"
    path.write_bytes(b'{"private_key": "hunter2"' + end)

    with (
        open_kek(KEY, {"credential": kind, "credentials_file": str(path)}) as kek,
        pytest.raises(KsmStorageError) as caught,
    ):
        kek.unwrap(WRAPPED, aad=AAD)

    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.as_dict())
    shown += "".join(f"{exc!r}{vars(exc)!r}" for exc in _chain(caught.value))
    assert "hunter2" not in shown
    documents = [getattr(exc, "doc", "") for exc in _chain(caught.value)]
    assert "hunter2" not in "".join(documents)
    undecoded = [getattr(exc, "object", b"") for exc in _chain(caught.value)]
    assert b"hunter2" not in b"".join(undecoded)


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__

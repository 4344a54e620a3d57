"""Files are downloaded when asked, checked against their description, and uploaded sealed."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ksm_storage.engine import KeeperFileUpload, ServerAnswerError, keeper_file
from ksm_storage.errors import DecryptionError, SettingsError, StorageError
from ksm_storage.wire.aes import gcm_open, gcm_seal
from ksm_storage.wire.base64_forms import from_base64
from ksm_storage.wire.keys import ecies_open
from tests.engine.sealed_secrets import login, record

FILE_KEY = os.urandom(32)
CONTENT = bytes(range(256)) * 20
SIZE = len(CONTENT)


@pytest.fixture
def describe(server: Any, bound: Any) -> Any:
    """Put one record with one file on the server and return the file as a client sees it."""

    def put(size: Any = SIZE, url: str | None = None) -> Any:
        meta = {"name": "a.bin", "title": "A", "size": size, "lastModified": 5, "type": "x/y"}
        address = server.file_url("a") if url is None else url
        entry = record(login("t"), server.app_key, files=[(meta, address, FILE_KEY)])
        server.answers["get_secret"] = {"records": [entry]}
        return bound.get_secrets()[0].files[0]

    return put


def test_a_file_is_described_and_downloaded(server: Any, describe: Any) -> None:
    server.files["a"] = gcm_seal(FILE_KEY, CONTENT)

    file = describe()

    assert (file.name, file.title, file.type, file.last_modified) == ("a.bin", "A", "x/y", 5)
    assert file.size == len(CONTENT)
    assert file.get_file_data() == CONTENT
    server.files.clear()
    assert file.get_file_data() == CONTENT


def test_a_file_without_a_described_size_is_downloaded(server: Any, describe: Any) -> None:
    server.files["a"] = gcm_seal(FILE_KEY, CONTENT)

    assert describe(size=None).get_file_data() == CONTENT


@pytest.mark.parametrize("size", [-100, -(1 << 40)])
def test_a_size_below_zero_bounds_the_download_like_none(
    server: Any, bound: Any, describe: Any, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(keeper_file, "_MAX_BYTES", SIZE - 1)
    server.files["a"] = gcm_seal(FILE_KEY, CONTENT)

    with pytest.raises(ServerAnswerError, match="longer than"):
        describe(size=size).get_file_data()


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "other key", "other size"])
def test_a_damaged_file_is_a_decryption_error(server: Any, describe: Any, damage: str) -> None:
    sealed = gcm_seal(FILE_KEY, CONTENT)
    server.files["a"] = {
        "flipped": sealed[:50] + bytes([sealed[50] ^ 1]) + sealed[51:],
        "cut": sealed[:-1],
        "empty": b"",
        "other key": gcm_seal(os.urandom(32), CONTENT),
        "other size": gcm_seal(FILE_KEY, CONTENT[:-1]),
    }[damage]
    file = describe()

    with pytest.raises(DecryptionError, match=f"the file {file.uid!r}"):
        file.get_file_data()


def test_a_file_longer_than_described_is_not_taken_into_memory(server: Any, describe: Any) -> None:
    server.files["a"] = gcm_seal(FILE_KEY, CONTENT + b"x")

    with pytest.raises(ServerAnswerError, match="longer"):
        describe().get_file_data()


def test_a_file_that_is_gone_says_so(describe: Any) -> None:
    with pytest.raises(ServerAnswerError, match="status 404"):
        describe().get_file_data()


@pytest.mark.parametrize("url", ["", "http://localhost/a", "file:///etc/passwd"])
def test_a_file_is_fetched_over_https_only(describe: Any, url: str) -> None:
    with pytest.raises(ServerAnswerError):
        describe(url=url).get_file_data()


def test_a_saved_file_is_private(server: Any, bound: Any, describe: Any, tmp_path: Path) -> None:
    server.files["a"] = gcm_seal(FILE_KEY, CONTENT)
    describe()
    target = tmp_path / "new" / "a.bin"
    found = bound.get_secrets()[0]

    with pytest.raises(StorageError, match="cannot write"):
        found.download_file_by_title("A", str(target))
    assert found.find_file_by_title("A").save_file(target, create_folders=True) is True

    assert target.read_bytes() == CONTENT
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with pytest.raises(ValueError, match="File B not found"):
        found.download_file_by_title("B", str(target))


@pytest.mark.parametrize("part", ["fileKey", "data"])
@pytest.mark.parametrize("value", [None, "!", "AAAA"])
def test_a_file_entry_that_is_not_of_the_protocol_is_a_decryption_error(
    server: Any, bound: Any, describe: Any, part: str, value: Any
) -> None:
    describe()
    server.answers["get_secret"]["records"][0]["files"][0][part] = value

    with pytest.raises(DecryptionError):
        _ = bound.get_secrets()[0].files[0].name


def test_an_uploaded_file_arrives_sealed_and_is_referred_to(
    server: Any, bound: Any, tmp_path: Path
) -> None:
    server.answers["get_secret"] = {"records": [record(login("t"), server.app_key)]}
    parameters = json.dumps({"policy": 'a"b', "key": "k"})
    server.answers["add_file"] = {"url": f"https://{server.host}/upload", "parameters": parameters}
    path = tmp_path / "report.txt"
    path.write_bytes(CONTENT)
    found = bound.get_secrets()[0]

    uid = bound.upload_file_path(found, path)

    sent = server.asked[-1][1]
    key = ecies_open(server.owner, from_base64(sent["fileRecordKey"]))
    meta = json.loads(gcm_open(key, from_base64(sent["fileRecordData"])))
    owner = json.loads(gcm_open(found.record_key_bytes, from_base64(sent["ownerRecordData"])))
    form = server.uploads[0]
    assert (meta["name"], meta["size"], meta["type"]) == ("report.txt", 5120, "text/plain")
    assert gcm_open(found.record_key_bytes, from_base64(sent["linkKey"])) == key
    assert owner["fields"][-1] == {"type": "fileRef", "value": [uid]}
    assert found.dict == owner
    assert b'name="policy"\r\n\r\na"b\r\n' in form
    start = form.index(b"octet-stream\r\n\r\n") + len(b"octet-stream\r\n\r\n")
    assert gcm_open(key, form[start : start + sent["fileSize"]]) == CONTENT


def test_a_refused_upload_is_an_error(server: Any, bound: Any) -> None:
    server.answers["get_secret"] = {"records": [record(login("t"), server.app_key)]}
    server.answers["add_file"] = {"url": "https://localhost:1/upload", "parameters": "{}"}
    found = bound.get_secrets()[0]

    with pytest.raises(SettingsError, match="must have a name"):
        bound.upload_file(found, KeeperFileUpload())
    server.answers["add_file"] = {}
    with pytest.raises(ServerAnswerError, match="no address for the upload"):
        bound.upload_file(found, KeeperFileUpload("n", data=b"x"))

"""Records and folders are opened by need, and equal to what the official package reads."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager as Official
from keeper_secrets_manager_core.dto.payload import KSMHttpResponse as OfficialResponse
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage as OfficialInMemory

from ksm_storage.engine import InMemoryKeyValueStorage, QueryOptions, SecretsManager
from ksm_storage.engine import record as record_module
from ksm_storage.engine.record_content import decrypt_contents, decrypt_data
from ksm_storage.errors import DecryptionError
from ksm_storage.wire.aes import gcm_seal
from ksm_storage.wire.base64_forms import new_uid, to_base64
from tests.engine.sealed_secrets import child_folder, login, record, root_folder, shared_folder

FOLDER_KEY = os.urandom(32)
FOLDER_UID = new_uid()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the uid of every record that is decrypted."""
    uids: list[str] = []

    def counting(entry: Any, *rest: Any) -> Any:
        uids.append(entry["recordUid"])
        return decrypt_data(entry, *rest)

    def counting_together(entries: Any, *rest: Any) -> Any:
        uids.extend(entry["recordUid"] for entry in entries)
        return decrypt_contents(entries, *rest)

    monkeypatch.setattr(record_module, "decrypt_data", counting)
    monkeypatch.setattr(record_module, "decrypt_contents", counting_together)
    return uids


def many(app_key: bytes, count: int) -> dict[str, Any]:
    inside = [record(login(f"in folder {n}"), FOLDER_KEY) for n in range(count)]
    alone = [record(login(f"alone {n}"), app_key) for n in range(count)]
    folder = shared_folder(app_key, FOLDER_KEY, inside, FOLDER_UID)
    app_data = to_base64(gcm_seal(app_key, b'{"title": "App", "type": "automation"}'))
    return {
        "appData": app_data,
        "records": alone,
        "folders": [folder],
        "expiresOn": 1893456000000,
        "warnings": ["soon"],
    }


@pytest.mark.parametrize("where", ["records", "folders"])
def test_asking_for_one_record_by_uid_opens_one_record(
    server: Any, bound: Any, opened: list[str], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = many(server.app_key, 50)
    monkeypatch.setattr(type(server), "_answer", lambda *_: answer)
    entry = answer["records"][30] if where == "records" else answer["folders"][0]["records"][30]

    found = bound.get_secrets([entry["recordUid"]])

    assert [r.title for r in found] == ["alone 30" if where == "records" else "in folder 30"]
    assert found[0].folder_uid == ("" if where == "records" else FOLDER_UID)
    assert opened == [entry["recordUid"]]


def test_nothing_is_opened_before_it_is_read(server: Any, bound: Any, opened: list[str]) -> None:
    server.answers["get_secret"] = many(server.app_key, 20)

    records = bound.get_secrets()

    assert opened == []
    assert records[0].title == "alone 0"
    assert len(opened) == 1


def test_a_title_is_searched_only_as_far_as_needed(
    server: Any, bound: Any, opened: list[str]
) -> None:
    server.answers["get_secret"] = many(server.app_key, 20)

    found = bound.get_secret_by_title("alone 3")

    assert found.title == "alone 3"
    assert len(set(opened)) == 4


@pytest.mark.parametrize("title", ['quo"te', "back\\slash", "üml", "emoji 🗝", "a/b", "tab\t"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_title_is_found_however_it_is_written(
    server: Any, bound: Any, title: str, ascii_only: bool
) -> None:
    entry = record(login("x"), server.app_key)
    key = os.urandom(32)
    entry["recordKey"] = to_base64(gcm_seal(server.app_key, key))
    text = json.dumps(login(title), ensure_ascii=ascii_only)
    entry["data"] = to_base64(gcm_seal(key, text.encode()))
    server.answers["get_secret"] = {"records": [record(login("y"), server.app_key), entry]}

    assert [r.uid for r in bound.get_secrets_by_title(title)] == [entry["recordUid"]]


def test_a_record_without_a_key_of_its_own_is_under_the_application_key(
    server: Any, bound: Any
) -> None:
    data = to_base64(gcm_seal(server.app_key, json.dumps(login("old")).encode()))
    server.answers["get_secret"] = {"records": [{"recordUid": "u", "data": data}]}

    assert bound.get_secrets()[0].title == "old"


def damaged(app_key: bytes) -> list[dict[str, Any]]:
    good = record(login("x"), app_key)
    key = os.urandom(32)
    sealed_key = to_base64(gcm_seal(app_key, key))
    nested = to_base64(gcm_seal(key, b'{"title": ' + b"[" * 100_000))
    return [
        {"recordUid": "nested", "recordKey": sealed_key, "data": nested},
        {**record({"title": "x", "fields": "text"}, app_key), "recordUid": "fields of text"},
        {**record({"title": "x", "fields": [1]}, app_key), "recordUid": "fields of numbers"},
        {**record({"title": "x", "custom": {"a": 1}}, app_key), "recordUid": "custom object"},
        {
            **good,
            "recordUid": "other key",
            "recordKey": record({}, os.urandom(32))["recordKey"],
        },
        {**good, "recordUid": "no data", "data": None},
        {**good, "recordUid": "number", "data": 5},
        {**good, "recordUid": "not base64", "data": "!"},
        {**good, "recordUid": "short", "data": "YWJj"},
        {"recordUid": "no json", "recordKey": sealed_key, "data": to_base64(gcm_seal(key, b"{"))},
        {"recordUid": "a list", "recordKey": sealed_key, "data": to_base64(gcm_seal(key, b"[]"))},
        {"recordUid": "bytes", "recordKey": sealed_key, "data": to_base64(gcm_seal(key, b"\xff"))},
        {},
    ]


def test_records_that_do_not_open_are_reported_and_no_error(server: Any, bound: Any) -> None:
    bad = damaged(server.app_key)
    good = record(login("good"), server.app_key)
    server.answers["get_secret"] = {"records": [*bad, good]}

    response = bound.get_secrets(full_response=True)

    assert [r.title for r in response.records] == ["good"]
    assert len(response.records) == 1
    assert [b["r"]["recordUid"] for b in response.bad_records] == [
        b.get("recordUid", "") for b in bad
    ]
    assert response.had_bad_records
    assert bound.get_secret_by_title("good").uid == good["recordUid"]
    assert not bound.get_secrets(["short"])


@pytest.mark.parametrize(("value", "shown"), [(5, "5"), (["x"], "['x']"), (None, None), (0, "")])
def test_what_is_no_text_is_shown_as_text(
    server: Any, bound: Any, value: object, shown: str | None
) -> None:
    content = {**login("x"), "title": value, "type": value, "notes": value}
    server.answers["get_secret"] = {"records": [record(content, server.app_key)]}

    (found,) = bound.get_secrets()

    assert (found.title, found.type, found.notes) == (shown, shown, shown)


def test_a_value_that_is_no_list_is_the_value(server: Any, bound: Any) -> None:
    content = {"title": "x", "fields": [{"type": "url", "value": "https://example.com"}]}
    server.answers["get_secret"] = {"records": [record(content, server.app_key)]}

    (found,) = bound.get_secrets()

    assert found.field("url", single=True) == "https://example.com"


def test_an_interrupt_while_records_are_opened_loses_none(
    server: Any, bound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [record(login(str(n)), server.app_key) for n in range(5)]
    server.answers["get_secret"] = {"records": entries}
    records = bound.get_secrets()

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(record_module, "decrypt_data", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _ = records.bad_records

    assert [r.title for r in records] == ["0", "1", "2", "3", "4"]


def test_a_record_that_does_not_open_says_so_when_it_is_asked_itself(
    server: Any, bound: Any
) -> None:
    server.answers["get_secret"] = {"records": damaged(server.app_key)[:1]}

    sealed = bound.get_secrets().sealed[0]

    with pytest.raises(DecryptionError):
        _ = sealed.title


def test_a_folder_that_does_not_open_takes_only_its_own_records(server: Any, bound: Any) -> None:
    answer = many(server.app_key, 2)
    answer["folders"][0]["folderKey"] = "AAAA"
    server.answers["get_secret"] = answer

    response = bound.get_secrets(full_response=True)

    assert [r.title for r in response.records] == ["alone 0", "alone 1"]
    assert [bad["f"]["folderUid"] for bad in response.bad_folders] == [FOLDER_UID]


def test_the_list_of_records_behaves_as_a_list(server: Any, bound: Any) -> None:
    server.answers["get_secret"] = many(server.app_key, 5)

    records = bound.get_secrets()

    assert len(records) == 10
    assert records[-1].title == "in folder 4"
    assert [r.title for r in records[4:6]] == ["alone 4", "in folder 0"]
    assert records[3] is records[3]
    assert records[0] in records
    assert [*records] == list(records)
    with pytest.raises(IndexError):
        records[10]
    assert not bound.get_secrets(["nothing"])
    assert records.by_uid(records[7].uid) is records[7]
    assert records.by_uid("nothing") is None


def test_options_are_sent_as_they_are_given(server: Any, bound: Any) -> None:
    options = QueryOptions(records_filter=["a"], folders_filter=["b"], request_links=True)

    bound.get_secrets_with_options(options)

    sent = server.asked[-1][1]
    assert sent["requestedRecords"] == ["a"]
    assert sent["requestedFolders"] == ["b"]
    assert sent["requestLinks"] is True


def test_the_response_says_what_the_server_says(server: Any, bound: Any) -> None:
    server.answers["get_secret"] = many(server.app_key, 1)

    response = bound.get_secrets(full_response=True)

    assert (response.appData.title, response.appData.app_type) == ("App", "automation")
    assert response.expiresOn == 1893456000000
    assert response.expires_on_str("%Y") in ("2029", "2030")
    assert response.warnings == ["soon"]
    assert response.folders[0].key == FOLDER_KEY
    assert [r.title for r in response.folders[0].records] == ["in folder 0"]


def test_fields_are_found_and_set_as_in_the_official_package(server: Any, bound: Any) -> None:
    custom = [
        {"type": "text", "label": "Environment", "value": ["prod"]},
        {"type": "phone", "value": [{"number": "1"}, {"number": "2"}]},
    ]
    entry = record(login("t", custom=custom, notes="n"), server.app_key)
    server.answers["get_secret"] = {"records": [entry]}
    config = OfficialInMemory(json.dumps(official_config(bound)))
    answer = {"records": [entry]}
    theirs = Official(config=config, custom_post_function=recorded(answer)).get_secrets()[0]
    ours = bound.get_secrets()[0]

    for one in (ours, theirs):
        assert one.field("PASSWORD", single=True) == "correct horse"
        assert one.password == "correct horse"
        assert one.custom_field("Environment", single=True) == "prod"
        assert one.custom_field("phone") == [{"number": "1"}, {"number": "2"}]
        assert one.get_standard_field_value("login", True) == "alice"
        assert one.get_custom_field_value("phone", True) == {"number": "1"}
        one.field("login", value="bob")
        one.set_custom_field_value("Environment", "test")
        one.set_standard_field_value("password", ["x"])
        assert one.add_custom_field(field_type="text", label="new", value="v")
        with pytest.raises(ValueError, match=r"."):
            one.field("no")
        with pytest.raises(ValueError, match=r"."):
            one.custom_field("no")
    assert ours.dict == theirs.dict
    assert json.loads(ours.raw_json) == json.loads(theirs.raw_json)
    assert ours.notes == "n"


def test_only_a_login_record_has_a_password(server: Any, bound: Any) -> None:
    content = {**login("t"), "type": "databaseCredentials"}
    server.answers["get_secret"] = {"records": [record(content, server.app_key)]}

    assert bound.get_secrets()[0].password is None


def test_no_secret_is_in_the_repr_of_a_record(server: Any, bound: Any) -> None:
    server.answers["get_secret"] = {"records": [record(login("t", password="pw!"), server.app_key)]}

    found = bound.get_secrets()[0]

    assert "pw!" not in repr(found) + str(found) + repr(bound.get_secrets())


def tree(app_key: bytes) -> list[dict[str, Any]]:
    root, child, grandchild = (os.urandom(32) for _ in range(3))
    return [
        child_folder(root, grandchild, uid="grandchild", parent="child", name="deep ü"),
        child_folder(root, child, uid="child", parent="root", name="child"),
        root_folder(app_key, root, uid="root", name="root"),
    ]


def test_the_folder_tree_is_opened_in_whatever_order_it_comes(server: Any, bound: Any) -> None:
    server.answers["get_folders"] = {"folders": tree(server.app_key)}

    folders = bound.get_folders()

    assert [(f.folder_uid, f.parent_uid, f.name) for f in folders] == [
        ("grandchild", "child", "deep ü"),
        ("child", "root", "child"),
        ("root", "", "root"),
    ]
    assert {len(f.folder_key) for f in folders} == {32}


def test_folders_that_do_not_open_are_left_out(server: Any, bound: Any) -> None:
    folders = tree(server.app_key)
    orphan = {**folders[1], "folderUid": "orphan", "parent": "nowhere"}
    circle = {**folders[1], "folderUid": "circle", "parent": "circle"}
    altered = {**folders[1], "folderUid": "altered", "folderKey": to_base64(bytes(64))}
    short = {**folders[2], "folderUid": "short"}
    short["folderKey"] = to_base64(gcm_seal(server.app_key, bytes(16)))
    del short["data"]
    bad = [orphan, circle, altered, short, {}]
    server.answers["get_folders"] = {"folders": [*bad, *folders]}

    found = [f.folder_uid for f in bound.get_folders()]

    assert found == ["grandchild", "child", "root"]


def official_config(manager: SecretsManager) -> dict[str, str]:
    storage = manager._session.device.storage
    assert isinstance(storage, InMemoryKeyValueStorage)
    return storage.read_storage()


def recorded(answer: dict[str, Any]) -> Any:
    text = json.dumps(answer).encode()

    def post(_url: str, key: Any, *_rest: Any) -> Any:
        return OfficialResponse(200, gcm_seal(key.key, text))

    return post


def test_all_records_are_equal_to_those_of_the_official_package(server: Any, bound: Any) -> None:
    answer = many(server.app_key, 20)
    server.answers["get_secret"] = answer
    config = OfficialInMemory(json.dumps(official_config(bound)))

    theirs = Official(config=config, custom_post_function=recorded(answer)).get_secrets()
    ours = bound.get_secrets()

    names = ("uid", "title", "type", "password", "dict", "revision", "is_editable", "folder_uid")
    assert [[getattr(r, name) for name in names] for r in ours] == [
        [getattr(r, name) for name in names] for r in theirs
    ]


def test_a_custom_post_function_of_the_official_kind_serves_the_engine(
    server: Any, bound: Any
) -> None:
    answer = many(server.app_key, 2)
    manager = SecretsManager(
        config=InMemoryKeyValueStorage(official_config(bound)),
        custom_post_function=recorded(answer),
    )

    assert len(manager.get_secrets()) == 4

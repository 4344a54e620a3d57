"""The eight methods of the official ``KeyValueStorage``, and what the SDK's own does not have."""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core.configkeys import ConfigKeys
from keeper_secrets_manager_core.storage import FileKeyValueStorage, KeyValueStorage

import ksm_storage
from ksm_storage.errors import StorageError
from tests.unit.storage.fixtures import CONFIG, new_key, settle, write_plain

METHODS = [
    *("read_storage", "save_storage", "get", "set"),
    *("delete", "delete_all", "contains", "is_empty"),
]


@pytest.fixture
def storage(sealed: Path) -> Any:
    return ksm_storage.open_storage(sealed)


@pytest.fixture
def official(tmp_path: Path) -> Any:
    path = write_plain(tmp_path / "official.json")
    path.chmod(0o600)
    return FileKeyValueStorage(str(path))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_takes_what_the_official_one_takes(method: str, storage: Any) -> None:
    theirs = inspect.signature(getattr(KeyValueStorage(), method)).parameters
    ours = inspect.signature(getattr(storage, method)).parameters

    assert list(ours) == list(theirs)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.get(ConfigKeys.KEY_HOSTNAME),
        lambda s: s.get(ConfigKeys.KEY_URL),
        lambda s: s.contains(ConfigKeys.KEY_APP_KEY),
        lambda s: s.contains(ConfigKeys.KEY_URL),
        lambda s: s.is_empty(),
        lambda s: (s.delete_all(), s.is_empty())[1],
        lambda s: (s.delete(ConfigKeys.KEY_APP_KEY), s.get(ConfigKeys.KEY_APP_KEY))[1],
        lambda s: (s.delete(ConfigKeys.KEY_URL), s.is_empty())[1],
        lambda s: (s.set(ConfigKeys.KEY_URL, "x"), s.get(ConfigKeys.KEY_URL))[1],
        lambda s: (s.set(ConfigKeys.KEY_HOSTNAME, ""), s.get(ConfigKeys.KEY_HOSTNAME))[1],
    ],
)
def test_the_answer_is_the_official_one(
    call: Callable[[Any], object], storage: Any, official: Any
) -> None:
    assert call(storage) == call(official)


def test_every_key_of_the_sdk_is_kept_under_its_own_name(storage: Any, sealed: Path) -> None:
    for member in ConfigKeys:
        storage.set(member, f"value of {member.name}")

    again = ksm_storage.open_storage(sealed)

    assert {m.value: again.get(m.value) for m in ConfigKeys} == {
        m.value: f"value of {m.name}" for m in ConfigKeys
    }


def test_a_string_and_a_member_name_the_same_value(storage: Any) -> None:
    storage.set("hostname", "keepersecurity.eu")

    assert storage.get(ConfigKeys.KEY_HOSTNAME) == "keepersecurity.eu"


def test_a_value_of_any_unicode_comes_back(storage: Any, sealed: Path) -> None:
    text = 'Zoë \N{SNOWMAN} "quoted" \\ \x00 \n'

    storage.set("hostname", text)

    assert ksm_storage.open_storage(sealed).get("hostname") == text


def test_save_storage_replaces_everything(storage: Any, sealed: Path) -> None:
    storage.save_storage({ConfigKeys.KEY_HOSTNAME: "h", "clientId": "c"})

    assert ksm_storage.open_storage(sealed).read_storage() == {"hostname": "h", "clientId": "c"}


def test_deleting_the_last_value_is_saved(storage: Any, sealed: Path) -> None:
    storage.save_storage({"hostname": "h"})

    storage.delete("hostname")

    assert ksm_storage.open_storage(sealed).is_empty()


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.read_storage(),
        lambda s: s.set("hostname", "h"),
        lambda s: s.delete("url"),
        lambda s: s.delete("hostname"),
        lambda s: s.delete_all(),
    ],
    ids=["read_storage", "set", "no-op delete", "delete", "delete_all"],
)
def test_what_is_handed_out_is_a_copy(
    call: Callable[[Any], dict[str, str]], storage: Any, sealed: Path
) -> None:
    call(storage)
    # From here on a read is answered from memory, which is what a caller must not get hold of.
    settle(sealed)
    before = dict(storage.read_storage())

    for given in (call(storage), storage.read_storage()):
        given["hostname"] = "written into the copy"

    assert storage.read_storage() == before


def test_what_is_handed_out_inside_a_batch_is_a_copy(storage: Any) -> None:
    with storage.batch():
        for given in (storage.set("url", "u"), storage.read_storage()):
            given["hostname"] = "written into the copy"

        assert storage.get("hostname") == CONFIG["hostname"]


def test_a_function_is_applied_to_what_another_process_has_saved(
    storage: Any, sealed: Path
) -> None:
    def first_come(config: dict[str, str]) -> None:
        config.setdefault("url", "mine")

    with storage.batch():
        storage.apply(first_come)
        assert storage.get("url") == "mine"
        ksm_storage.open_storage(sealed).set("url", "theirs")

    assert storage.get("url") == "theirs"


@pytest.mark.parametrize("change", [{"": "v"}, {"url": 1.5}])
def test_a_function_that_makes_no_configuration_saves_nothing(
    storage: Any, change: dict[str, Any]
) -> None:
    with pytest.raises(StorageError):
        storage.apply(lambda config: config.update(change))

    assert storage.read_storage() == CONFIG


def test_what_was_handed_in_is_a_copy(storage: Any) -> None:
    mine = {"hostname": "h"}
    storage.save_storage(mine)

    mine["hostname"] = "changed afterwards"

    assert storage.get("hostname") == "h"


def test_none_removes_a_value(storage: Any) -> None:
    storage.set("url", "https://example.com")

    returned = storage.set("url", None)

    assert returned == storage.read_storage() == CONFIG


@pytest.mark.parametrize("way", ["set", "save_storage", "apply"])
def test_a_number_is_kept_as_its_digits(storage: Any, way: str) -> None:
    if way == "set":
        storage.set("serverPublicKeyId", 1_000_000)
    elif way == "save_storage":
        storage.save_storage({**CONFIG, "serverPublicKeyId": 1_000_000})
    else:
        storage.apply(lambda config: config.update(serverPublicKeyId=1_000_000))

    assert storage.read_storage() == {**CONFIG, "serverPublicKeyId": "1000000"}


@pytest.mark.parametrize("value", [True, 1.5, b"bytes", "\ud800", ["list"]])
def test_a_value_that_is_no_text_is_refused_without_being_shown(value: Any, storage: Any) -> None:
    with pytest.raises(StorageError, match="a configuration value") as caught:
        storage.set("hostname", value)

    assert storage.read_storage() == CONFIG
    assert "bytes'" not in str(caught.value)


@pytest.mark.parametrize("name", [None, 10, "", "\udcff", b"hostname", object()])
@pytest.mark.parametrize("method", ["get", "contains", "delete"])
def test_a_key_that_is_no_name_is_refused(method: str, name: Any, storage: Any) -> None:
    with pytest.raises(StorageError, match="configuration key"):
        getattr(storage, method)(name)


def test_a_key_that_is_no_text_is_refused_when_it_is_set(storage: Any) -> None:
    with pytest.raises(StorageError, match="not a valid configuration key"):
        storage.set("\udcff", "value")

    assert storage.read_storage() == CONFIG


def test_a_refused_value_saves_nothing_of_the_others(storage: Any) -> None:
    with pytest.raises(StorageError):
        storage.save_storage({"hostname": "h", "clientId": None})

    assert storage.read_storage() == CONFIG


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_storage_cannot_be_copied_out_of_the_process(
    take: Callable[[Any], Any], storage: Any
) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        take(storage)


def test_repr_names_the_file_and_its_keys_and_no_value(
    storage: Any, sealed: Path, key: str
) -> None:
    shown = repr(storage)

    assert str(sealed) in shown
    assert key in shown
    assert [value for value in CONFIG.values() if len(value) > 2 and value in shown] == []


def test_a_batch_is_one_save(storage: Any, sealed: Path) -> None:
    with storage.batch():
        for number in range(10):
            storage.set(f"field{number}", "x")
        storage.delete("hostname")

    assert "revision 2," in repr(ksm_storage.open_storage(sealed))
    assert ksm_storage.open_storage(sealed).contains("field9")
    assert not ksm_storage.open_storage(sealed).contains("hostname")


def test_changes_of_a_batch_are_seen_inside_it_and_not_outside(storage: Any, sealed: Path) -> None:
    with storage.batch():
        returned = storage.set("hostname", "in the batch")
        inside = storage.get("hostname")
        outside = ksm_storage.open_storage(sealed).get("hostname")

    assert (inside, returned["hostname"]) == ("in the batch", "in the batch")
    assert outside == CONFIG["hostname"]


def test_a_batch_inside_a_batch_is_a_part_of_it(storage: Any, sealed: Path) -> None:
    with storage.batch():
        storage.set("url", "1")
        with storage.batch():
            storage.set("bat", "2")
        inner_is_saved = ksm_storage.open_storage(sealed).contains("bat")

    assert not inner_is_saved
    assert "revision 2," in repr(storage)
    assert (storage.get("url"), storage.get("bat")) == ("1", "2")


def test_a_batch_that_raises_saves_nothing(storage: Any, sealed: Path) -> None:
    before = sealed.read_bytes()

    def fail() -> None:
        with storage.batch():
            storage.set("hostname", "never")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert sealed.read_bytes() == before
    assert storage.get("hostname") == CONFIG["hostname"]


def test_after_a_batch_that_raised_changes_are_saved_again(storage: Any, sealed: Path) -> None:
    with pytest.raises(RuntimeError), storage.batch():
        raise RuntimeError

    storage.set("hostname", "h")

    assert ksm_storage.open_storage(sealed).get("hostname") == "h"


def test_a_batch_after_one_that_could_not_begin_is_one_save(storage: Any, sealed: Path) -> None:
    kept = sealed.rename(sealed.with_name("kept"))
    with pytest.raises(StorageError), storage.batch():
        pass
    kept.rename(sealed)

    def fail() -> None:
        with storage.batch():
            storage.set("hostname", "never")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG


def test_a_batch_keeps_what_another_process_set_meanwhile(storage: Any, sealed: Path) -> None:
    other = ksm_storage.open_storage(sealed)

    with storage.batch():
        storage.set("url", "mine")
        other.set("bat", "theirs")

    assert (storage.get("url"), storage.get("bat")) == ("mine", "theirs")


def test_another_thread_reads_on_while_a_batch_is_open(storage: Any, sealed: Path) -> None:
    seen: list[str | None] = []
    reader = threading.Thread(target=lambda: seen.append(storage.get("hostname")), daemon=True)

    with storage.batch():
        storage.set("hostname", "in the batch")
        # The file is not as it was read, so that the reader has to look into it.
        ksm_storage.open_storage(sealed).set("url", "theirs")
        reader.start()
        reader.join(5)

        assert seen == [CONFIG["hostname"]]


def test_an_empty_batch_writes_nothing(storage: Any, sealed: Path) -> None:
    before = sealed.read_bytes()

    with storage.batch():
        pass

    assert sealed.read_bytes() == before


def test_a_change_that_changes_nothing_writes_nothing(storage: Any, sealed: Path) -> None:
    before = sealed.read_bytes()

    storage.set("hostname", CONFIG["hostname"])
    storage.delete("url")
    storage.save_storage(dict(CONFIG))

    assert sealed.read_bytes() == before


def test_several_keys_each_open_the_file(folder: Path, key: str, tmp_path: Path) -> None:
    second = new_key(tmp_path / "keys/second.key")
    path = folder / "config"
    ksm_storage.open_storage(path, keys=[key, second]).set("hostname", "h")

    for one in (key, second):
        assert ksm_storage.open_storage(path, keys=[one]).get("hostname") == "h"

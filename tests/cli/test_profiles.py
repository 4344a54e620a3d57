"""The document of a sealed file is changed as a whole, at the cost of one unwrap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.config.document import Document
from ksm_storage.envelope.codec import decode
from ksm_storage.errors import SettingsError, StorageError
from ksm_storage.files.lock import locked as lock_file
from ksm_storage.storage import profiles
from ksm_storage.storage.open_policy import OpenPolicy
from ksm_storage.storage.profiles import (
    change_document,
    check_profile_name,
    create_document,
    read_document,
    with_active_profile,
    with_new_profile,
    without_profile,
)
from tests.unit.storage.planted import Counted, counted

__all__ = ["counted"]

Change = Callable[[Document, str], Document]

ANY = OpenPolicy.from_args(None, None, None)


@pytest.fixture
def path(tmp_path: Path, counted: Counted) -> Path:
    """Seal two profiles, the first active."""
    path = tmp_path / "profiles"
    document = Document({"one": {"hostname": "h1"}, "two": {"hostname": "h2"}})
    trust = OpenPolicy.from_args(["counted://one"], None, None)
    create_document(path, trust, with_active_profile(document, "one"))
    counted.calls.clear()
    return path


def test_creating_wraps_and_unwraps_once(path: Path, counted: Counted, tmp_path: Path) -> None:
    create_document(
        tmp_path / "new", OpenPolicy.from_args(["counted://one"], None, None), Document({})
    )

    assert counted.calls == [("wrap", "one"), ("unwrap", "one")]


def test_a_change_calls_the_key_service_once(path: Path, counted: Counted) -> None:
    change_document(path, ANY, lambda document: with_new_profile(document, "three", {}))

    assert counted.calls == [("unwrap", "one")]
    assert list(read_document(path, ANY).profiles) == ["one", "three", "two"]


def test_a_new_file_is_of_the_context_that_was_given(tmp_path: Path, counted: Counted) -> None:
    trust = OpenPolicy.from_args(["counted://one"], {"env": "prod"}, None)

    create_document(tmp_path / "new", trust, Document({}))

    assert decode((tmp_path / "new").read_bytes()).header.context == {"env": "prod"}


@pytest.mark.parametrize("use", [read_document, partial(change_document, change=lambda it: it)])
def test_a_file_that_is_missing_is_named(use: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="missing' does not exist"):
        use(tmp_path / "missing", ANY)


def test_a_change_that_raises_leaves_the_file(path: Path) -> None:
    before = path.read_bytes()

    with pytest.raises(SettingsError):
        change_document(path, ANY, lambda document: without_profile(document, "nobody"))

    assert path.read_bytes() == before


def test_no_change_is_no_new_revision(path: Path) -> None:
    before = path.read_bytes()

    change_document(path, ANY, lambda document: document)

    assert path.read_bytes() == before


def test_changes_at_the_same_time_are_all_kept(path: Path) -> None:
    names = [f"p{number}" for number in range(8)]

    def add(name: str) -> None:
        change_document(path, ANY, lambda document: with_new_profile(document, name, {}))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, names))

    assert set(names) < set(read_document(path, ANY).profiles)


def test_an_open_storage_sees_the_change_without_a_key_service(
    path: Path, counted: Counted
) -> None:
    storage = ksm_storage.open_storage(path, profile="two")
    change_document(path, ANY, lambda document: without_profile(document, "one"))
    counted.calls.clear()

    assert storage.get("hostname") == "h2"
    assert counted.calls == []


def test_an_existing_file_is_never_created_over(path: Path) -> None:
    before = path.read_bytes()

    with pytest.raises(StorageError, match="already exists"):
        create_document(path, OpenPolicy.from_args(["counted://one"], None, None), Document({}))

    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["a", "A-z_0", "x" * 64])
def test_a_safe_name_is_taken(name: str) -> None:
    check_profile_name(name)


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "é", "a\n", "_config", "a.b"])
def test_an_unsafe_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        check_profile_name(name)


def test_a_second_profile_leaves_the_one_in_use() -> None:
    lone = Document({"lone": {"hostname": "h"}})

    assert with_new_profile(lone, "new", {}).chosen(None) == "lone"


def test_a_third_profile_makes_none_active() -> None:
    undecided = Document({"one": {}, "two": {}})

    assert with_new_profile(undecided, "new", {}).settings == {}


def test_the_active_profile_that_is_removed_leaves_none_active() -> None:
    document = with_active_profile(Document({"one": {}, "two": {}, "three": {}}), "one")

    assert without_profile(document, "one").settings == {}


def test_the_settings_stay_when_a_profile_comes_or_goes() -> None:
    settings = {"active_profile": "one", "color": "True"}
    document = Document({"one": {}, "two": {}}, settings)

    assert with_new_profile(document, "three", {}).settings == settings
    assert without_profile(document, "two").settings == settings


def test_the_first_profile_of_an_empty_configuration_is_the_only_one() -> None:
    document = with_new_profile(Document.single({}), "new", {"hostname": "h"})

    assert document.profiles == {"new": {"hostname": "h"}}


@pytest.mark.parametrize(
    ("document", "names"),
    [(Document({"one": {}, "two": {}}), "one, two"), (Document.single({}), "none")],
)
def test_a_name_of_no_profile_is_refused_with_those_that_are_there(
    document: Document, names: str
) -> None:
    with pytest.raises(SettingsError, match="profile 'three' not found") as caught:
        with_active_profile(document, "three")

    assert caught.value.hint == f"available profiles: {names}"


@pytest.mark.parametrize("change", [without_profile, with_active_profile])
def test_a_configuration_without_profiles_has_none_without_a_name(change: Change) -> None:
    with pytest.raises(SettingsError, match="profile '' not found"):
        change(Document.single({"hostname": "h"}), "")


def test_a_configuration_without_profiles_keeps_its_content() -> None:
    document = with_new_profile(Document.single({"hostname": "h"}), "new", {})

    assert document.profiles["_default"] == {"hostname": "h"}
    assert document.chosen(None) == "_default"


def test_the_key_service_is_called_before_the_file_is_locked(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    _before_the_lock(monkeypatch, lambda: seen.append(list(counted.calls)))
    seen: list[list[tuple[str, str]]] = []

    change_document(path, ANY, lambda document: with_active_profile(document, "two"))

    assert seen == [[("unwrap", "one")]]
    assert counted.calls == seen[0]


def test_a_rekey_between_opening_and_locking_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile = iter([lambda: ksm_storage.rekey(path)])
    _before_the_lock(monkeypatch, lambda: next(meanwhile, lambda: None)())

    change_document(path, ANY, lambda document: with_active_profile(document, "two"))

    assert read_document(path, ANY).settings["active_profile"] == "two"


def test_a_file_that_is_rekeyed_again_and_again_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _before_the_lock(monkeypatch, lambda: ksm_storage.rekey(path))

    with pytest.raises(StorageError, match=r"keeps changing the keys of .*profiles'"):
        change_document(path, ANY, lambda document: with_active_profile(document, "two"))


def _before_the_lock(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    @contextmanager
    def locked(real: str) -> Iterator[None]:
        act()
        with lock_file(real):
            yield

    monkeypatch.setattr(profiles, "locked", locked)

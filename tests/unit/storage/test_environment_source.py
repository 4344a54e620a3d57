"""An envelope in ``$KSM_STORAGE_CONFIG``: a configuration with no file at all."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.errors import DecryptionError, EnvelopeError, StorageError
from tests.unit.storage.fixtures import CONFIG, names_in


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder in which nothing lies."""
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    return tmp_path / "working"


@pytest.fixture(params=["one line", "wrapped", "url-safe"])
def variable(request: pytest.FixtureRequest, sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variable to the sealed file, which is removed."""
    encode = {
        "one line": base64.b64encode,
        "wrapped": base64.encodebytes,
        "url-safe": base64.urlsafe_b64encode,
    }[request.param]
    monkeypatch.setenv("KSM_STORAGE_CONFIG", encode(sealed.read_bytes()).decode())
    sealed.unlink()


@pytest.mark.parametrize("place", ["argument", "Path", "KSM_CONFIG_FILE"])
@pytest.mark.parametrize("form", ["json", "base64"])
def test_a_configuration_in_the_place_of_a_path_is_refused_and_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch, place: str, form: str
) -> None:
    text = json.dumps(CONFIG | {"privateKey": "CANARY" * 40})
    given = text if form == "json" else base64.b64encode(text.encode()).decode()
    if place == "KSM_CONFIG_FILE":
        monkeypatch.setenv(place, given)

    paths: dict[str, str | Path] = {"argument": given, "Path": Path(given)}

    with pytest.raises(StorageError, match="is a configuration or a token") as caught:
        ksm_storage.open_storage(paths.get(place), keys=[key])

    assert given[20:40] not in str(caught.value.as_dict())
    assert names_in(Path.cwd()) == []


def test_the_configuration_is_read_and_no_file_is_made(
    variable: None, working_folder: Path
) -> None:
    assert ksm_storage.open_storage().read_storage() == CONFIG
    assert names_in(working_folder) == []


def test_it_goes_before_the_variable_of_the_sdk(
    variable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_CONFIG_FILE", "/nonexistent")

    assert ksm_storage.open_storage().read_storage() == CONFIG


def test_a_change_is_refused_and_memory_is_as_before(variable: None, working_folder: Path) -> None:
    storage = ksm_storage.open_storage()

    with pytest.raises(StorageError, match=r"\$KSM_STORAGE_CONFIG is read-only"):
        storage.set("hostname", "other")

    assert storage.read_storage() == CONFIG
    assert names_in(working_folder) == []


def test_a_change_that_changes_nothing_is_allowed(variable: None) -> None:
    storage = ksm_storage.open_storage()

    assert storage.set("hostname", CONFIG["hostname"]) == CONFIG
    assert storage.delete("url") == CONFIG


@pytest.mark.usefixtures("variable")
def test_it_is_held_to_the_keys_and_the_context() -> None:
    with pytest.raises(DecryptionError, match="none of the trusted keys"):
        ksm_storage.open_storage(keys=["key-file:///another.key"])
    with pytest.raises(DecryptionError, match="context"):
        ksm_storage.open_storage(context={"env": "prod"})


@pytest.mark.parametrize("text", ["rubbish", "e30=", "{}", "\udcff"])
def test_anything_else_in_it_is_refused(
    text: str, working_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_CONFIG", text)

    with pytest.raises(EnvelopeError, match="is not an envelope"):
        ksm_storage.open_storage()

    assert names_in(working_folder) == []


def test_the_profile_that_is_asked_for_is_shown(
    folder: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "keeper.ini"
    path.write_text("[_config]\nactive_profile = one\n\n[one]\nurl = 1\n\n[two]\nurl = 2\n")
    ksm_storage.protect(path, keys=[key])
    monkeypatch.setenv("KSM_STORAGE_CONFIG", base64.b64encode(path.read_bytes()).decode())

    assert ksm_storage.open_storage().get("url") == "1"
    assert ksm_storage.open_storage(profile="two").get("url") == "2"
